"""What names of arguments, of fields of messages and of kinds of content blocks stand for."""

from __future__ import annotations

import re


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


CONTROL_NAMES = _names("""
    self cls model model_name model_id api_key base_url api_base api_version endpoint organization
    user_id session_id tenant tool_choice stop stop_sequences seed
    device device_map dtype torch_dtype service_tier reasoning_effort truncation encoding_format
    logit_bias extra_headers extra_query timeout http_client client processor tokenizer modalities
    stream stream_options previous_response_id include generation_config return_tensors padding
    cache_control safety_identifier prompt_cache_key prompt_cache_retention verbosity
""")
LABELS = _names("""
    role id type name status call_id tool_call_id tool_use_id media_type mime_type mimeType index
    model cache_control detail format file_id stop_reason stop_sequence finish_reason caller
    source_type mediaType namespace phase
""")
SIGNED = _names("signature encrypted_content thought_signature thoughtSignature")
PICTURE_NAMES = _names("frame frames file files path paths file_path file_paths filename filenames")
_PICTURE_NAME = re.compile(
    r"(\w+_)?(image|img|picture|pic|photo|screenshot)s?(_?\d+)?"
    r"(_(path|file|filename|url|uri|src|base64|b64|bytes|data)s?)?",
    re.ASCII | re.IGNORECASE,
)
SYSTEM_NAMES = _names("system system_prompt system_message system_instruction instructions")
PROCESSED_NAMES = _names("""
    pixel_values pixel_values_videos input_ids inputs_embeds image_features image_embeds
    prompt_token_ids prompt_embeds
""")
PROMPT_NAMES = _names("prompt prompts input inputs")  # lists of numbers under them are tokens
DECLARED_NAMES = _names("tools functions response_format")
TEXT_BLOCKS = _names("""
    text input_text output_text refusal thinking summary_text reasoning_text
""")
PICTURE_KEYS = ("image_url", "image", "url", "path", "base64", "data", "result")
DATA_KEYS = ("data", "blob")
REMOTE_NAMES = _names("file_uri fileUri")
PICTURE_BLOCKS = _names("image_url input_image image computer_screenshot image_generation_call")
RESULT_BLOCKS = _names("""
    tool_result function_call_output custom_tool_call_output computer_call_output
    local_shell_call_output shell_call_output
""")
CALL_BLOCKS = _names("tool_use function_call custom_tool_call function")
UNSCREENABLE_BLOCKS = _names("""
    input_audio audio audio_url video video_url document file input_file
""")
OTHER_BLOCKS = _names("redacted_thinking item_reference reasoning message")
SPEAKERS = {"human": "user", "ai": "assistant", "system": "system", "tool": "tool"}
KNOWN_BLOCKS = (
    TEXT_BLOCKS | PICTURE_BLOCKS | RESULT_BLOCKS | CALL_BLOCKS | UNSCREENABLE_BLOCKS | OTHER_BLOCKS
)


def names_pictures(key: str) -> bool:
    """Whether strings under a name are pictures: `image`, `img_path`, `input_image_1_url`."""
    return key in PICTURE_NAMES or _PICTURE_NAME.fullmatch(key) is not None
