"""Any server that speaks the OpenAI protocol, as a `Generator`."""

from outrider.remote.address import Address
from outrider.remote.generator import OpenAIGenerator
from outrider.remote.http import Patience
from outrider.remote.stream import RemoteStream

__all__ = ["Address", "OpenAIGenerator", "Patience", "RemoteStream"]
