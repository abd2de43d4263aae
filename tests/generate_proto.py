"""Write `MarketDataFeedV3_pb2.py` from `MarketDataFeedV3.proto`.

Run by hand after a change of the schema: `python -m tests.generate_proto` (needs grpcio-tools).
protoc's own Python output registers in the default descriptor pool, where it clashes with the
broker's SDK in the same process; this writes the descriptors into a pool of their own instead.
"""

import pathlib
import subprocess
import sys
import tempfile
import textwrap

PACKAGE = pathlib.Path(__file__).parent.parent / "tickrec" / "upstox" / "decode"
MESSAGES = (
    *("FeedResponse", "Feed", "FullFeed", "MarketFullFeed", "IndexFullFeed", "FirstLevelWithGreeks", "LTPC"),
    *("MarketLevel", "Quote", "OptionGreeks", "MarketOHLC", "OHLC", "MarketInfo", "StatusInfo"),
)
HEADER = '''\
"""Generated from MarketDataFeedV3.proto by `python -m tests.generate_proto`. Do not edit.

The descriptors live in a pool of their own: in the default pool they would clash with the
broker's SDK, which registers the same names.
"""

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

POOL = descriptor_pool.DescriptorPool()
'''


def descriptor_set() -> bytes:
    """Compile the .proto with its imports to a serialized FileDescriptorSet."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "set"
        subprocess.run(
            [
                *(sys.executable, "-m", "grpc_tools.protoc", f"-I{PACKAGE}", "--include_imports"),
                *(f"--descriptor_set_out={out}", "MarketDataFeedV3.proto"),
            ],
            check=True,
        )
        return out.read_bytes()


def main() -> None:
    """Write the generated module."""
    lines = textwrap.wrap(descriptor_set().hex(), 96)
    body = "\n".join(f'    "{line}"' for line in lines)
    text = HEADER + f"_FILES = bytes.fromhex(\n{body}\n)\n"
    text += "for _file in descriptor_pb2.FileDescriptorSet.FromString(_FILES).file:\n"
    text += "    POOL.AddSerializedFile(_file.SerializeToString())\n\n"
    text += 'DESCRIPTOR = POOL.FindFileByName("MarketDataFeedV3.proto")\n\n\n'
    text += "def _message(name):\n"
    text += "    return message_factory.GetMessageClass(DESCRIPTOR.message_types_by_name[name])\n\n\n"
    text += "".join(f'{name} = _message("{name}")\n' for name in MESSAGES)
    (PACKAGE / "MarketDataFeedV3_pb2.py").write_text(text)


if __name__ == "__main__":
    main()
