"""Where the weights of open_clip's models are."""

from __future__ import annotations

import os

from guardrail.errors import MissingExtra
from guardrail.models import ModelError, Source
from guardrail_detectors.torchvision import mend

HUB = "https://huggingface.co"


def open_clip(name: str) -> list[Source]:
    """The files of "MODEL/TAG", as `open_clip.list_pretrained()` has them."""
    try:
        mend()
        import open_clip as package
    except ImportError as error:
        raise MissingExtra(str(error.name), "clip") from None
    model, _, tag = name.partition("/")
    options = package.get_pretrained_cfg(model, tag)
    if not options.get("hf_hub"):
        tags = package.list_pretrained_tags_by_model(model)
        known = f"its tags: {', '.join(tags)}" if tags else "see open_clip.list_pretrained()"
        raise ModelError(f"open_clip has no weights {name!r}; {known}")
    parts = str(options["hf_hub"]).split("/")
    return _of_hub("/".join(parts[:2]), "/".join(parts[2:]))


def _of_hub(repository: str, file: str) -> list[Source]:
    base = f"{os.environ.get('HF_ENDPOINT') or HUB}/{repository}/resolve/main"
    if file:
        return [Source(f"{base}/{file}", file.rpartition("/")[2])]
    return [
        Source(f"{base}/open_clip_config.json", "open_clip_config.json"),
        Source(f"{base}/open_clip_model.safetensors", "open_clip_model.safetensors"),
        *(
            Source(f"{base}/{name}", name, optional=True)
            for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
        ),
    ]
