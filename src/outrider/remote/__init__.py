"""Any server that speaks the OpenAI protocol, as a `Generator`."""

from outrider.remote.address import Address
from outrider.remote.generator import OpenAIGenerator, RemoteStream

__all__ = ["Address", "OpenAIGenerator", "RemoteStream"]
