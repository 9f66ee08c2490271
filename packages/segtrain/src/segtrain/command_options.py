"""Options of a command line: the configuration's fields, and what several commands share."""

import dataclasses
import inspect
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from segtrain.config import TrainConfig
from segtrain.options.fields import number_or_word
from segtrain.options.running import JudgedBy, Statistics
from segtrain.options.training import Device

RunArgument = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run's folder (its best.pt) or a checkpoint file.")
]
DeviceOption = Annotated[
    Device, typer.Option(help="Where to compute; auto takes a GPU where there is one.")
]
ScalesOption = Annotated[
    str,
    typer.Option(
        metavar="S,S,...",
        help="Scales at which the net sees each image, such as 0.5,0.75,1,1.25; the mean of their "
        "softmax, enlarged to the image's own size, decides.",
    ),
]
FlipOption = Annotated[
    bool, typer.Option("--flip", help="See each image mirrored, too; the mean softmax decides.")
]
JsonOption = Annotated[
    Path | None,
    typer.Option("--json", metavar="FILE", help="Also write everything here; - prints it instead."),
]
StatisticsOption = Annotated[
    Statistics,
    typer.Option(
        help="What batch norms normalise by: the running statistics of training, or batch, mean "
        "and variance of each image itself, as FC-DenseNet's authors judged."
    ),
]
JudgedByOption = Annotated[
    JudgedBy,
    typer.Option(
        "--statistics",
        help="What batch norms normalise by: the running statistics of training; or batch, mean "
        "and variance of each image itself, as FC-DenseNet's authors judged; or both, and the gap "
        "between the two.",
    ),
]
ShardsOption = Annotated[
    list[str],
    typer.Option(
        help="A shards directory, a path or a URL (https://, s3://, ...); may be given several "
        "times, for data sets in several."
    ),
]
CacheOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Folder for copies of shards from URLs. By default segtrain/shards in the user's "
        "cache folder.",
    ),
]
CacheSizeOption = Annotated[
    str,
    typer.Option(help="How much of them to keep, as 50GB or 1.5TB; those used longest ago go."),
]
SplitOption = Annotated[str, typer.Option(help="train, val, or a named subset of either.")]
BatchOption = Annotated[
    int,
    typer.Option(
        min=1,
        help="Images at once. Only images that the net pads to one size share a batch, so the "
        "result is that of 1; more is faster on a GPU.",
    ),
]


# beside the fields: a file that gives some of them
CONFIG_FILE = inspect.Parameter(
    "config_file",
    inspect.Parameter.KEYWORD_ONLY,
    default=None,
    annotation=Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE.toml",
            help="Options from a file, one a line, such as lr = 0.05; the command line wins over "
            "it, and it over the recipe.",
            rich_help_panel="Training",
        ),
    ],
)


def config_parameters() -> list[inspect.Parameter]:
    """The fields of `TrainConfig` as options: same names, defaults, help and panels."""
    hints = typing.get_type_hints(TrainConfig)
    parameters = []
    for field in dataclasses.fields(TrainConfig):
        hint: object = hints[field.name]
        default: object = field.default
        if isinstance(default, tuple):  # typer takes a tuple for a fixed number of values
            hint, default = list[str], list(default)
        elif hint == tuple[str, ...] | None:
            hint = list[str] | None
        words = field.metadata["words"]
        information = typer.Option(
            help=field.metadata["help"],
            rich_help_panel=field.metadata["panel"],
            show_default=field.default is not None,
            parser=number_or_word(words) if words else None,
            metavar="|".join(["INTEGER", *words]) if words else None,
        )
        parameters.append(
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=default,
                annotation=Annotated[hint, information],
            )
        )
    return parameters


def given_options(
    context: typer.Context, options: dict[str, object], file: Path | None = None
) -> dict[str, object]:
    """The options that somebody gave, without those that have their defaults.

    Args:
        context: Of the command.
        options: All options by field.
        file: A TOML file with options; those of the command line win over it.

    Raises:
        UsageError: If the file does not fit.
    """
    from segtrain.toml_files import read_toml

    given = {
        name: value
        for name, value in options.items()
        if getattr(context.get_parameter_source(name), "name", "") != "DEFAULT"
    }
    return (read_toml(file) if file else {}) | given


def give_options(command: Callable[..., None], extra: list[inspect.Parameter]) -> None:
    """Give a command the options of the configuration, then these."""
    context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    parameters = [context, *config_parameters(), *extra]
    # typer reads a command's options from its signature and annotations
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}


def flowing(text: str | None) -> str:
    """A docstring whose paragraphs are a line each, to be wrapped at any width."""
    paragraphs = inspect.cleandoc(text or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.splitlines()) for paragraph in paragraphs)
