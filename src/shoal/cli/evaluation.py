"""`shoal eval` and `shoal cross-play`: saved policies at play."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shoal.cli import console
from shoal.cli.execution import OUT, JsonOption, OutOption
from shoal.cli.training import as_dict, as_document, figure_rows, figures, find_checkpoint, interval
from shoal.errors import InputError

if TYPE_CHECKING:
    from shoal.marl.crossplay import CrossPlay
    from shoal.marl.evaluation import Episodes
    from shoal.marl.policies import Policy
    from shoal.marl.seats import Mix

EPISODES = 128
EPISODES_WITH_MODELS = 4
"""A language model is asked in every step of every episode."""
HEAT_MAP = "cross-play"

GreedyOption = Annotated[bool, typer.Option("--greedy", help="Best actions instead of sampled ones.")]
PlaySeedOption = Annotated[int, typer.Option("--root-seed", help="Root of all chance; equal ones give equal starts.")]


def evaluate(
    checkpoint: Annotated[str, typer.Argument(help="Checkpoint, run folder or run id; PATH#SEED for one seed.")],
    seats: Annotated[
        str, typer.Option(help="Who sits where, one for all or one for each agent: learned, random, scripted:NAME, a "
                               "checkpoint, or a language model (local:smollm2, ...); SEAT*3 for three of it.")
    ] = "learned",
    episodes: Annotated[int | None, typer.Option(help="Episodes of each seed; 128, or 4 with language models.")] = None,
    greedy: GreedyOption = False,
    temperature: Annotated[float, typer.Option(help="Of language models; 0 is greedy.")] = 0.0,
    render: Annotated[
        Path | None, typer.Option(help="Picture of the first episode: .gif all of it, .png or .svg its end.")
    ] = None,
    root_seed: PlaySeedOption = 0,
    out: OutOption = OUT,
    json: JsonOption = False,
) -> int:  # fmt: skip
    """Play whole episodes with a saved policy, alone or in any mix of seats: returns and metrics with intervals."""
    if render is not None:
        _check_picture(render)
    folder, policies = _policies(checkpoint, out)
    mixes = {seed: _open(seats, policy, temperature, out) for seed, policy in policies.items()}
    if any(mix.models for mix in mixes.values()):
        first = next(iter(mixes))
        mixes = {first: mixes[first]}  # the seats of a language model are dear; PATH#SEED names another
        episodes = EPISODES_WITH_MODELS if episodes is None else episodes
    count = EPISODES if episodes is None else episodes
    played, pictures = _play(mixes, count, root_seed, greedy, render is not None)
    if render is not None:
        from shoal.worlds.picture import save

        save(pictures if render.suffix == ".gif" else pictures[-1:], render)
    mix = next(iter(mixes.values()))
    found = figures(list(played.values()), mix.learned.world.agents)
    document = {
        "checkpoint": str(folder),
        "world": mix.learned.world.name,
        "seeds": list(played),
        "seats": dict(zip(mix.learned.world.agents, mix.names, strict=True)),
        "episodes": count,
        "greedy": greedy,
        **as_document(found),
        "models": mix.spent,
        "picture": str(render) if render else None,
    }
    if json:
        console.print_json(document)
    else:
        _tell(document, found)
    return 1 if _silent(mix) else 0


def cross_play(
    checkpoints: Annotated[
        list[str], typer.Argument(help="Checkpoints, run folders or ids; all their seeds play, or one with PATH#SEED.")
    ],
    episodes: Annotated[int, typer.Option(help="Episodes of each pair.")] = EPISODES,
    row_seats: Annotated[
        str | None, typer.Option(help="Agents that the row's policy plays, by number (0,2); default the first half.")
    ] = None,
    greedy: GreedyOption = False,
    root_seed: PlaySeedOption = 0,
    out: OutOption = OUT,
    json: JsonOption = False,
) -> int:
    """Let saved policies play with each other: matrix of returns, self-play against cross-play, heat map."""
    from shoal.marl.crossplay import cross_play as play

    policies = _named(checkpoints, out)
    rows = None if row_seats is None else _numbers(row_seats)
    result = play(policies, episodes, root_seed, rows, greedy)
    document = _matrix(result, episodes, greedy)
    document["run_dir"], document["picture"] = _keep(result, document, next(iter(policies.values())).world.name, out)
    if json:
        console.print_json(document)
    else:
        _tell_matrix(result, document)
    return 0


def _policies(name: str, out: Path) -> tuple[Path, dict[int, Policy]]:
    """The checkpoint of that name, and its policies by seed: all, or the one after the #."""
    from shoal.marl.checkpoints import read
    from shoal.marl.policies import load

    path, mark, number = name.rpartition("#") if not Path(name).exists() else (name, "", "")
    folder = find_checkpoint(path if mark else name, out)
    seeds: tuple[int, ...] = read(folder).seeds
    if mark:
        if not number.isdigit():
            raise InputError("checkpoint", name, "Write PATH#SEED with the number of a trained seed.")
        seeds = (int(number),)
    return folder, {seed: load(folder, seed=seed) for seed in seeds}


def _named(names: list[str], out: Path) -> dict[str, Policy]:
    """All policies of all checkpoints, by short names that differ."""
    from shoal.marl.checkpoints import read

    policies: dict[str, Policy] = {}
    for name in names:
        folder, group = _policies(name, out)
        found = read(folder)
        for seed, policy in group.items():
            label = f"seed {seed}" if len(names) == 1 else f"{found.learner.name} {found.step}#{seed}"
            policies[label if label not in policies else f"{label} ({len(policies)})"] = policy
    return policies


def _open(seats: str, policy: Policy, temperature: float, out: Path) -> Mix:
    from shoal.marl.seats import open_seats

    return open_seats(seats, policy, temperature, out / "calls.sqlite")


def _play(
    mixes: dict[int, Mix], episodes: int, root: int, greedy: bool, picture: bool
) -> tuple[dict[int, Episodes], list[Any]]:
    """Episodes of each seed, and pictures of the first episode of the first seed."""
    from shoal.marl.seats import evaluate_seats

    played: dict[int, Episodes] = {}
    pictures: list[Any] = []
    for seed, mix in mixes.items():
        world = mix.learned.world

        def watch(state: Any, world: Any = world) -> None:
            pictures.append(world.draw(state))

        if mix.models:
            played[seed] = evaluate_seats(mix, world, episodes, root, greedy, watch if picture else None)
            continue
        played[seed] = evaluate_seats(mix, world, episodes, root, greedy)
        if picture and not pictures:
            evaluate_seats(mix, world, 1, root, greedy, watch)
    return played, pictures


def _check_picture(path: Path) -> None:
    if path.suffix not in (".svg", ".png", ".gif"):
        raise InputError("--render", str(path), "Use a name that ends in .svg, .png or .gif.")
    if not path.absolute().parent.is_dir():
        raise InputError("--render", str(path), "Its folder does not exist.")


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError("--row-seats", text, "Give numbers of agents with commas between them.") from None


def _silent(mix: Mix) -> bool:
    """Whether a language model answered nothing at all; says so, with what to look at."""
    for spec, spent in mix.spent.items():
        if spent["asked"] and sum(spent["failures"].values()) >= spent["asked"]:
            kinds = ", ".join(spent["failures"])
            console.err.print(
                f"shoal: {spec} gave no usable action ({kinds}); random legal ones were taken.",
                style="red", markup=False, soft_wrap=True,
            )  # fmt: skip
            return True
    return False


def _tell(document: dict[str, Any], found: dict[str, Any]) -> None:
    seeds, episodes = document["seeds"], f"{document['episodes']} episodes"
    over = f"{len(seeds)} seeds, {episodes} each" if len(seeds) > 1 else episodes
    seats = ", ".join(dict.fromkeys(document["seats"].values()))
    console.out.print(f"{document['world']}, seats: {seats}", style="bold", markup=False)
    console.table(f"\nMean [95% over {over}]", ("figure", "value"), figure_rows(found))
    for spec, spent in document["models"].items():
        failures = ", ".join(f"{n} {kind}" for kind, n in spent["failures"].items()) or "none"
        tokens = spent.get("prompt_tokens", 0) + spent.get("completion_tokens", 0)
        console.out.print(
            f"\n{spec}: {spent['asked']} actions asked for, {tokens} tokens; without a legal action: {failures}",
            markup=False,
        )
    if document["picture"]:
        console.out.print(f"\npicture {document['picture']}", markup=False)


def _matrix(result: CrossPlay, episodes: int, greedy: bool) -> dict[str, Any]:
    count = range(len(result.names))
    return {
        "policies": list(result.names),
        "row_seats": [result.agents[i] for i in result.row_seats],
        "episodes": episodes,
        "greedy": greedy,
        "matrix": [[as_dict(result.cell(i, j)) for j in count] for i in count],
        "self_play": as_dict(result.self_play),
        "cross_play": as_dict(result.cross_play),
        "gap": as_dict(result.gap),
        "gap_over_policies": as_dict(result.gap_over_policies),
    }


def _keep(result: CrossPlay, document: dict[str, Any], world: str, out: Path) -> tuple[str, str]:
    """A run folder with the matrix as JSON and PNG; returns its path and the picture's."""
    import orjson

    from shoal.marl.crossplay import draw_matrix
    from shoal.runs.folder import RunFolder, write_atomically
    from shoal.runs.plots import save_figures

    name, size = f"cross-play-{world}", f"{len(result.names)} policies"
    folder = RunFolder.create(out, name, f"{name}-{time.time()}", size=size, kind="cross-play")
    (folder.path / "events").rmdir()
    picture = save_figures({HEAT_MAP: draw_matrix(result, f"Return in {world}")}, folder.path / "plots")[HEAT_MAP]
    write_atomically(folder.path / "cross_play.json", orjson.dumps(document, option=orjson.OPT_INDENT_2))
    folder.save(status="finished", finished=time.time())
    folder.release()
    return str(folder.path), str(picture)


def _tell_matrix(result: CrossPlay, document: dict[str, Any]) -> None:
    rows, count = ", ".join(document["row_seats"]), range(len(result.names))
    console.table(
        f"Return of all agents (mean [95% over {document['episodes']} episodes]); the row plays {rows}",
        ("", *result.names),
        [(name, *(interval(result.cell(i, j)) for j in count)) for i, name in enumerate(result.names)],
    )
    console.table(
        "",
        ("", "return"),
        [("self-play", interval(result.self_play)), ("cross-play", interval(result.cross_play)),
         ("gap, over episodes", interval(result.gap)), ("gap, over policies", interval(result.gap_over_policies))],
    )  # fmt: skip
    console.out.print(f"\nrun     {document['run_dir']}", markup=False)
    console.out.print(f"picture {document['picture']}", markup=False)
