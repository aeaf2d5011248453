"""ONNX models say the same on every processor."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from guardrail_detectors.sessions import PRODUCT, session


@pytest.mark.parametrize("depth", [2, 64, 384])
def test_sums_of_8_bit_products_do_not_overflow(depth: int) -> None:
    weights = np.full((depth, 32), 127, np.int8)
    node = helper.make_node("MatMulInteger", ["x", "w"], ["y"])
    graph = helper.make_graph(
        [node],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [4, depth])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [4, 32])],
        [numpy_helper.from_array(weights, "w")],
    )
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    onnx.checker.check_model(model)
    values = np.full((4, depth), 255, np.uint8)
    (made,) = session(model.SerializeToString()).run(None, {"x": values})
    assert (made == depth * 127 * 255).all()


def test_the_probe_is_a_product_of_the_largest_8_bit_numbers() -> None:
    value = helper.make_tensor("", TensorProto.INT8, [1], [127])
    graph = helper.make_graph(
        [
            helper.make_node("ConstantOfShape", ["s"], ["w"], value=value),
            helper.make_node("MatMulInteger", ["x", "w"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [4, 64])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [4, 8])],
        [numpy_helper.from_array(np.array([64, 8], np.int64), "s")],
    )
    opset = [helper.make_opsetid("", 13)]
    assert onnx.load_from_string(PRODUCT) == helper.make_model(
        graph, opset_imports=opset, ir_version=8
    )
