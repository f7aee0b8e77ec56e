"""The commands of learning: train, evaluate, average, check, clusters, study, data."""

import sys
from pathlib import Path
from typing import Any, Literal

from pellucid.cli.app import print_written, verbose
from pellucid.cli.arguments import begun, data_and_part, data_of, given_options, grid_of, model_of
from pellucid.cli.parameters import AnyModel, Architecture, Flat, FurtherFile, TestPart, TrainPart
from pellucid.errors import PellucidError
from pellucid.files import check_output, require_writable, write_rows
from pellucid.progress import print_line, saying
from pellucid.settings import (
    CallbackSettings,
    ClusterSettings,
    DataSettings,
    EngineSettings,
    FeatureSettings,
    KMeansSettings,
    ModelSettings,
    NetworkSettings,
    OptimizationSettings,
    ScanSettings,
    SeedSettings,
    SplitSettings,
    TrainSettings,
)


def train(
    architecture: str,
    /,
    *,
    out: Path = Path("net.safetensors"),
    source: Flat[SplitSettings] = SplitSettings(),
    network: Flat[NetworkSettings] = NetworkSettings(),
    settings: Flat[TrainSettings] = TrainSettings(),
    callbacks: Flat[CallbackSettings] = CallbackSettings(),
) -> None:
    """Train a network by hand-written gradients, from scratch or from where another training left it, and save it.

    An architecture brings its own defaults for some of these options; options that are given override them. With a
    checkpoint, the same command and --resume continue a training that was interrupted, to the same bytes in the end;
    other rates than before may be given. With --verbose, there are lines with each layer's largest activation and share
    of silent units after every epoch.

    Args:
        architecture: architecture, by name (mnist-cnn, mnist-robust, cnn-modern, resnet-8, cnn-4-4-8-16, mlp-deep,
            mlp-70-30) or as a TOML file; or the file of a network or checkpoint (.safetensors) to go on from
        out: file (.safetensors) for the network
    """
    from pellucid.learn.metrics import evaluate as score
    from pellucid.learn.training import train as fit
    from pellucid.show.callbacks import save_outputs, training_callbacks

    check_output(out, (".safetensors",))
    net, images, seed = begun(architecture, source, network, settings)
    course = {**given_options(settings), "seed": seed}
    try:
        with training_callbacks(callbacks, verbose=verbose.get()) as (on_batch, on_epoch):
            history = fit(net, images, on_batch=on_batch, on_epoch=on_epoch, **course)
    except KeyboardInterrupt:
        if settings.checkpoint is not None:
            print(f"All steps so far are in {settings.checkpoint}; continue with --resume.", file=sys.stderr)
        raise
    if history.settings.patience > 0 and history.final is not None:
        print(f"The weights are those after epoch {history.final.epoch + 1}, the best of {len(history.epochs)}.")
    net.provenance["test_accuracy"] = score(net, images.test).accuracy
    net.save(out)
    print(f"Accuracy {net.provenance['test_accuracy']:.2%} on {len(images.test):,} test images of {images.name}.")
    for path in (out, *save_outputs(callbacks, net, history)):
        print_written(path)


def evaluate(
    model: AnyModel,
    /,
    *,
    split: TestPart = None,
    how: Flat[ModelSettings] = ModelSettings(),
    source: Flat[DataSettings] = DataSettings(),
    random: Flat[SeedSettings] = SeedSettings(),
) -> None:
    """Print a model's accuracy, and which classes it takes for which."""
    from pellucid.see.dataset.fitting import evaluate as score
    from pellucid.see.models.open import open_model
    from pellucid.show.console import scores_text

    opened = open_model(model_of(model, how))
    images, chosen, name = data_and_part(opened, source, random.seed, split, "test")
    scores, name = score(opened, chosen), "" if name == "all" else f"{name} "
    print(f"Accuracy {scores.accuracy:.2%} on {len(scores.predictions):,} {name}images of {images.name}.")
    print(scores_text(scores))


def average(
    model: AnyModel,
    /,
    *,
    threshold: float = 0.9,
    split: TrainPart = None,
    out: Path = Path("average.png"),
    how: Flat[ModelSettings] = ModelSettings(),
    source: Flat[DataSettings] = DataSettings(),
    random: Flat[SeedSettings] = SeedSettings(),
) -> None:
    """Show, for each class, the mean of the images that a model is sure belong to it; labels are not needed.

    Args:
        threshold: probability of a class above which an image counts for it (0 to 1)
        out: file for a figure (.png, .pdf or .svg) or the mean images themselves (.npz, .csv)
    """
    from pellucid.see.dataset.class_means import NUMBERS
    from pellucid.see.dataset.class_means import average as mean
    from pellucid.see.models.open import open_model
    from pellucid.show.style import FIGURES

    check_output(out, (*FIGURES, *NUMBERS))
    opened = open_model(model_of(model, how))
    found = mean(opened, data_and_part(opened, source, random.seed, split, "train")[1], threshold)
    print(found)
    if out.suffix.lower() in NUMBERS:
        print_written(found.save(out))
        return
    from pellucid.show.figures.axes import save_figure
    from pellucid.show.figures.pictures import class_means_figure

    print_written(save_figure(class_means_figure(found), out))


def check(
    network: str,
    /,
    *,
    images: int = 4,
    samples: int = 12,
    source: Flat[SplitSettings] = SplitSettings(),
    options: Flat[NetworkSettings] = NetworkSettings(),
    random: Flat[SeedSettings] = SeedSettings(),
) -> None:
    """Compare every hand-written gradient of a network with central differences.

    Args:
        network: network or architecture: a bundled one's name, a network's file, or a TOML file
        images: number of training images in the loss whose gradients are checked
        samples: number of entries of each array that are compared
    """
    import numpy as np

    from pellucid.learn.gradient_check import check_gradients

    net, data, seed = begun(network, source, options, random)
    few = data.train.take(images)
    with saying("Checking the gradients"):
        report = check_gradients(net, np.asarray(few.images), few.labels, samples=samples, seed=seed)
    print(report)


def clusters(
    architecture: Architecture = "mlp-70-30",
    /,
    *,
    of: Literal["images", "pixels"] = "images",
    clusters: int | None = None,
    target: float | None = None,
    out: Path = Path("clusters.png"),
    table: FurtherFile = None,
    network: FurtherFile = None,
    source: Flat[SplitSettings] = SplitSettings(),
    scan: Flat[ScanSettings] = ScanSettings(),
    features: Flat[FeatureSettings] = FeatureSettings(),
    settings: Flat[OptimizationSettings] = OptimizationSettings(),
) -> None:
    """Find how many clusters images fall into, and learn from the distances to them, beside learning from pixels.

    The architecture is one of dense layers. Settings of the training hold for both networks; on the distances, one
    that is not given may differ from that on pixels, and the ridge term is scaled to their number.

    Args:
        of: what is put into clusters: images, or pixels, whose groups a network then sees the means of; no more of
            these than there are pixels
        clusters: number of cluster centres to learn from (default: the number that is suggested)
        target: dev accuracy (0 to 1) up to which training times are compared (default: the best that both reach)
        out: file for the figure: .png, .pdf or .svg
        table: file (.csv) for the numbers of each K (default: none is written)
        network: file (.safetensors) for the network that learnt from clusters, their centres and all normalization
            included: it takes images (default: none is written)
    """
    from pellucid.learn.build import network_for
    from pellucid.learn.experiments.clusters import compare_clusters, require_clusters, scan_clusters
    from pellucid.show.console import comparison_text, scan_line, scan_text
    from pellucid.show.figures.axes import save_figure
    from pellucid.show.figures.experiments import clusters_figure
    from pellucid.show.style import FIGURES

    check_output(out, FIGURES)
    if table is not None:
        require_writable(table)
    check_output(network, (".safetensors",))
    if target is not None and not 0 < target <= 1:
        raise PellucidError(f"The target is {target:g}; give an accuracy above 0 and at most 1, such as 0.974.")
    images, own = data_of(source, settings.seed), given_options(features)
    least = min(scan.counts) if clusters is None else clusters
    require_clusters(network_for(architecture, images), ClusterSettings.of(clusters=least, clustered=of), images)
    k_means = {name: value for name, value in own.items() if name in KMeansSettings.model_fields}
    head = iter([scan_line(None)])  # above the first row
    scanned = scan_clusters(
        images,
        clustered=of,
        seed=settings.seed,
        on_row=lambda row: print_line("\n".join([*head, scan_line(row)])),
        **given_options(scan),
        **k_means,
    )
    print(scan_text(scanned), flush=True)
    written = [] if table is None else [write_rows(table, scanned.table())]
    count = scanned.suggested if clusters is None else clusters
    found = compare_clusters(images, architecture, clusters=count, clustered=of, **own, **given_options(settings))
    print(comparison_text(found, target))
    if network is not None and found.network is not None:
        found.network.save(network)
        written.append(network)
    for path in (save_figure(clusters_figure(scanned, found, target), out), *written):
        print_written(path)


def study(
    architecture: Architecture,
    /,
    *,
    over: tuple[str, ...],
    out: Path = Path("study"),
    clusters: int = 0,
    target: float | None = None,
    source: Flat[SplitSettings] = SplitSettings(),
    features: Flat[FeatureSettings] = FeatureSettings(),
    network: Flat[NetworkSettings] = NetworkSettings(),
    settings: Flat[OptimizationSettings] = OptimizationSettings(),
    execution: Flat[EngineSettings] = EngineSettings(),
) -> None:
    """Train a network for every combination of some settings' values: a table, and a figure.

    The same command continues a study that was interrupted, within the training it was in; values may be added.

    Args:
        over: setting to vary and its values, such as ridge=0.01,0.1 or hidden=70-30,100-50; repeat it for more; seed,
            clusters and architecture too
        out: folder for the tables and the figure; a study in it is continued
        clusters: number of cluster centres whose distances are the features; 0 for pixels
        target: dev accuracy (0 to 1) for which epochs and seconds are told (default: for none)
    """
    from pellucid.learn.experiments.grid_search import study as run
    from pellucid.show.console import study_text
    from pellucid.show.figures.axes import save_figure
    from pellucid.show.figures.experiments import study_figure
    from pellucid.spread.engines import engine_of

    grid = grid_of(over)
    images = data_of(source, settings.seed)
    shared: dict[str, Any] = {"clusters": clusters} if clusters else {}
    shared |= {} if target is None else {"target": target}
    for group in (features, network, settings):
        shared |= given_options(group)
    with engine_of(**given_options(execution)) as engine:
        found = run(architecture, images, grid, out=out, engine=engine, **shared)
    print(study_text(found))
    for path in (out / "runs.csv", out / "summary.csv", save_figure(study_figure(found), out / "study.png")):
        print_written(path)


def data(*, source: Flat[SplitSettings] = SplitSettings(), random: Flat[SeedSettings] = SeedSettings()) -> None:
    """Print a summary of the data: sizes, brightness, classes."""
    from pellucid.data.splits import summarize

    print(summarize(data_of(source, random.seed)))
