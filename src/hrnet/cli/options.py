"""Options that several commands have."""

from typing import Annotated

import typer

ModelName = Annotated[
    str | None,
    typer.Option(help="A model's name, a file, or hf:owner/name. [default: the packaged]"),
]
OtherWeights = Annotated[
    str, typer.Option(help="A file, URL or hf:owner/name of other weights for the model.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, ...")]
FlipTest = Annotated[
    bool, typer.Option("--flip-test", help="Average with the mirrored picture; half as fast.")
]
Runtime = Annotated[
    str,
    typer.Option(
        help="torch, onnxruntime, openvino, or auto: on a processor OpenVINO where it is "
        "installed, else PyTorch."
    ),
]
Precision = Annotated[
    str,
    typer.Option(
        help="Of the network's arithmetic: fp32, bf16, fp16, or auto: bf16 or fp16 where the "
        "machine has units for it."
    ),
]
