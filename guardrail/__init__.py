"""Safety and observability for calls to vision-language models."""
