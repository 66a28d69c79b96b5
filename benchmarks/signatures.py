"""CPU time of a signed request, and how many of them the library http-message-signatures accepts.

pip install http-message-signatures
python benchmarks/signatures.py [--requests 10000]
"""

from __future__ import annotations

import argparse
import time
import warnings
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from newsmill.message_signatures import make_key, sign_request

AGENT = "https://news.example.org"
COMPONENTS = ("@method", "@authority", "@path", '"signature-agent";key="sig1"')


@dataclass
class Message:
    """A request as the library reads it."""

    url: str
    headers: dict[str, str] = field(default_factory=dict)
    method: str = "GET"


def main() -> int:
    """Print the figures; 1 if a signature was refused."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    count = parser.parse_args().requests
    key, now = make_key(datetime.now(UTC)), time.time()
    targets = [f"https://paper{number % 97}.example/2026/11/{number}/a-story.html?page={number % 7}" for number in range(count)]
    started = time.process_time()
    signed = [sign_request(key, AGENT, "GET", url, now) for url in targets]
    print(f"newsmill: {(time.process_time() - started) / count * 1000:.3f} ms of CPU per signed request, {count:,} requests")
    try:
        import http_message_signatures as library
    except ImportError:
        print("the library http-message-signatures is not installed; nothing was verified")
        return 0
    resolver: Any = library.MappingKeyResolver(public_keys={key.id: key.private.public_key()}, private_keys={key.id: key.private})
    algorithm = library.algorithms.ED25519
    verifier = library.HTTPMessageVerifier(signature_algorithm=algorithm, key_resolver=resolver)
    warnings.simplefilter("ignore")
    accepted = 0
    for url, headers in zip(targets, signed, strict=True):
        results = verifier.verify(Message(url, dict(headers)))
        accepted += len(results) == 1
    print(f"http-message-signatures accepts {accepted:,} of {count:,}")
    signer = library.HTTPMessageSigner(signature_algorithm=algorithm, key_resolver=resolver)
    sample = targets[: count // 10]
    started = time.process_time()
    for url in sample:
        signer.sign(
            Message(url, {"Signature-Agent": f'sig1="{AGENT}"'}),
            key_id=key.id,
            label="sig1",
            tag="web-bot-auth",
            covered_component_ids=COMPONENTS,
        )
    print(f"http-message-signatures: {(time.process_time() - started) / len(sample) * 1000:.3f} ms of CPU per signed request")
    return 0 if accepted == count else 1


if __name__ == "__main__":
    raise SystemExit(main())
