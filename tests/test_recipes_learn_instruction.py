"""The recipe as people start it: with several processes, killed and gone on with, and given unusable input."""

from __future__ import annotations

import csv
import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
from hub.conftest import hub  # noqa: F401
from hub.loopback import OWNER, LoopbackHub
from huggingface_hub import HfApi
from on_disk import contents, put_pair

from oneshot_sketch import LearnedInstruction

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "recipes" / "learn_instruction.py"
spec = importlib.util.spec_from_file_location("learn_instruction", RECIPE)
assert spec
assert spec.loader
recipe = importlib.util.module_from_spec(spec)
spec.loader.exec_module(recipe)

Flags = Callable[..., list[str]]
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def flags(tiny_backbone: Path, tmp_path: Path) -> Flags:
    """Few quick steps on the tiny backbone, from tmp_path/data to a folder of tmp_path."""

    def build(output: str, data: str = "data", **more: object) -> list[str]:
        given = {
            "pretrained_model_name_or_path": tiny_backbone,
            "train_data_dir": tmp_path / data,
            "output_dir": tmp_path / output,
            "max_train_steps": 6,
            "checkpointing_steps": 2,
            "text": "ink",
            "rows": 4,
        }
        return [word for key, value in (given | more).items() if value is not None for word in (f"--{key}", str(value))]

    return build


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    put_pair(tmp_path / "data", 0)
    return tmp_path / "data"


@pytest.fixture
def hands(tmp_path: Path) -> Path:
    """Four styles, one of them with a sketch that cannot be read."""
    for seed, style in enumerate(("chalk", "ink", "spoilt", "wash")):
        put_pair(tmp_path / "data" / style, seed)
    (tmp_path / "data" / "spoilt" / "sketch" / "ada.png").write_bytes(b"no picture")
    return tmp_path / "data"


def here(arguments: list[str]) -> int:
    """The recipe in this process."""
    return recipe.guarded(lambda: recipe.run(recipe.parse_args(arguments)))


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def processes(count: int, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """The recipe in `count` processes that talk through gloo."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={count}"]
    return subprocess.run([*launcher, str(RECIPE), *arguments], env=environment(), capture_output=True, text=True)


# ── several processes ──


def test_two_processes_learn_what_one_does(pairs: Path, flags: Flags, tmp_path: Path) -> None:
    assert here(flags("one", train_batch_size=4)) == 0
    done = processes(2, flags("two", train_batch_size=1, gradient_accumulation_steps=2))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Saved in") == 1, "one process speaks and writes"
    one, two = (LearnedInstruction.from_pretrained(tmp_path / name) for name in ("one", "two"))
    assert one.record.config["draws"] == 4
    assert one.record.config == two.record.config
    torch.testing.assert_close(two.embeddings, one.embeddings, rtol=0, atol=2e-4)
    assert two.record.losses == pytest.approx(one.record.losses, abs=1e-5)
    assert here(flags("other", train_batch_size=2)) == 0
    other = LearnedInstruction.from_pretrained(tmp_path / "other")
    assert (other.embeddings - one.embeddings).abs().max() > 5e-4, "the tolerance notices half the draws left out"


@pytest.mark.slow
def test_styles_are_dealt_out_to_processes_and_a_failed_one_spoils_no_other(hands: Path, flags: Flags, tmp_path: Path) -> None:
    done = processes(2, flags("two"))
    complaints = [line for line in done.stderr.splitlines() if line.startswith("learn_instruction: ")]
    assert complaints == [
        "learn_instruction: 1 of 4 styles failed (spoilt); mend them and run the same command again with "
        "--resume_from_checkpoint latest."
    ]
    assert "exitcode  : 2" in done.stderr, "as torchrun reports it"
    assert "spoilt: failed: pair ada:" in done.stderr
    put_pair(hands / "spoilt", 2)
    before = contents(tmp_path / "two")
    assert {name.split("/")[0] for name in before} == {"chalk", "checkpoints", "ink", "wash"}
    assert here(flags("two", resume_from_checkpoint="latest")) == 0
    assert here(flags("one")) == 0
    after = contents(tmp_path / "two")
    assert {name: after[name] for name in before} == before
    assert after == contents(tmp_path / "one"), "the same bytes, whoever learned them"


# ── killed ──


@pytest.mark.parametrize("data", ["pairs", pytest.param("hands", marks=pytest.mark.slow)])
def test_killed_and_gone_on_with_comes_to_the_same_bytes(
    data: str, request: pytest.FixtureRequest, flags: Flags, tmp_path: Path
) -> None:
    request.getfixturevalue(data)
    if data == "hands":
        put_pair(tmp_path / "data" / "spoilt", 2)
    settings = {"max_train_steps": 60, "train_batch_size": 1, "validation_steps": 30}
    process = subprocess.Popen(
        [sys.executable, str(RECIPE), *flags("killed/hand", **settings)], env=environment(), stderr=subprocess.DEVNULL
    )
    home = tmp_path / "killed" / "hand" / ("checkpoints/ink" if data == "hands" else "")
    deadline = time.monotonic() + 120
    while not (home / "checkpoint-8").exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it was still learning"
    assert not (home / "checkpoint-60").exists()
    assert here(flags("killed/hand", **settings, resume_from_checkpoint="latest")) == 0
    assert here(flags("whole/hand", **settings)) == 0
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


# A child a moment, forked before anything is computed: it is killed at the N-th file that is about to appear, or just has.
MOMENTS = """
import os, runpy, signal, sys
from pathlib import Path
import torch
import oneshot_sketch.learners.run, oneshot_sketch.cli.learning, oneshot_sketch.data.styles
from oneshot_sketch import OneShotSketchPipeline

recipe = runpy.run_path(sys.argv[1])
root, arguments = Path(sys.argv[2]), sys.argv[3:]
torch.set_num_threads(1)


def child(output, moment=None, *more):
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1]
    replace, calls = os.replace, 0

    def counted(*paths):
        nonlocal calls
        for act in (None, lambda: replace(*paths)):
            if act:
                act()
            calls += 1
            if calls == moment:
                os.kill(os.getpid(), signal.SIGKILL)

    os.replace = counted
    code = recipe["run"](recipe["parse_args"]([*arguments, "--output_dir", str(root / output / "hand"), *more]))
    os._exit(code)


assert child("whole") == 0
moment = 1
while True:
    name = f"killed-{moment}"
    status = child(name, moment)
    if status == 0:
        break
    assert os.WTERMSIG(status) == signal.SIGKILL, status
    assert child(name, None, "--resume_from_checkpoint", "latest") == 0
    moment += 1
print("moments", moment - 1)
"""


@pytest.mark.slow
def test_killed_at_any_file_that_appears_it_comes_to_the_same_bytes(pairs: Path, flags: Flags, tmp_path: Path) -> None:
    arguments = flags("unused", max_train_steps=4, output_dir=None, checkpoints_total_limit=1, validation_steps=4)
    command = [sys.executable, "-c", MOMENTS, str(RECIPE), str(tmp_path / "out"), *arguments]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    whole = contents(tmp_path / "out" / "whole" / "hand")
    assert sorted(whole) == [
        "README.md", "checkpoint-4/state.safetensors", "config.json", "instruction.safetensors", "preview.png",
        "previews/step_000004.png",
    ]  # fmt: skip
    killed = sorted((tmp_path / "out").glob("killed-*"))
    assert len(killed) > 20
    for folder in killed:
        assert contents(folder / "hand") == whole, folder.name
        assert [path.name for path in folder.iterdir()] == ["hand"], "no rubbish"


# ── data ──


def test_styles_from_a_table_and_from_a_data_set_are_those_of_the_folders(pairs: Path, flags: Flags, tmp_path: Path) -> None:
    styles = {"ink": tmp_path / "hands" / "ink", "wash": tmp_path / "hands" / "wash"}
    for seed, folder in enumerate(styles.values()):
        put_pair(folder, seed)
    rows = [
        {"photo": str(folder / "photo" / "ada.png"), "sketch": str(folder / "sketch" / "ada.png"), "style": style}
        for style, folder in styles.items()
    ]
    with (tmp_path / "table.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["photo", "sketch", "style"])
        writer.writeheader()
        writer.writerows(rows)
    columns = {
        "input_image": [row["photo"] for row in rows],
        "edited_image": [row["sketch"] for row in rows],
        "hand": [row["style"] for row in rows],
    }
    dataset = datasets.Dataset.from_dict(columns)
    for column in ("input_image", "edited_image"):
        dataset = dataset.cast_column(column, datasets.Image())
    dataset.to_parquet(str(tmp_path / "pairs.parquet"))

    assert here(flags("folders", "hands")) == 0
    assert here(flags("table", train_data_dir=None, train_table=tmp_path / "table.csv")) == 0
    parquet = {"dataset_name": tmp_path / "pairs.parquet", "style_column": "hand", "cache_dir": tmp_path / "cache"}
    assert here(flags("parquet", train_data_dir=None, **parquet)) == 0
    for style in styles:
        folder, table, column = (
            LearnedInstruction.from_pretrained(tmp_path / name / style) for name in ("folders", "table", "parquet")
        )
        assert torch.equal(folder.embeddings, table.embeddings)
        assert torch.equal(folder.embeddings, column.embeddings)
        assert folder.record.style == table.record.style == column.record.style == style


# ── sharing ──


def test_every_instruction_is_pushed_and_one_refused_keeps_no_other_from_it(
    hub: LoopbackHub,  # noqa: F811
    hands: Path,
    flags: Flags,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    put_pair(hands / "spoilt", 2)
    HfApi().create_repo("someone/hands-ink")
    HfApi().upload_file(path_or_fileobj=b"{}", path_in_repo="config.json", repo_id="someone/hands-ink")
    assert here([*flags("out", hub_model_id="someone/hands", hub_token=OWNER), "--push_to_hub"]) == 2
    for style in ("chalk", "spoilt", "wash"):
        back = LearnedInstruction.from_pretrained(f"someone/hands-{style}")
        assert torch.equal(back.embeddings, LearnedInstruction.from_pretrained(tmp_path / "out" / style).embeddings)
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("learn_instruction: learned, but 1 of 4 could not be pushed: someone/hands-ink holds another model")


# ── what it says ──


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"mixed_precision": "fp32"}, "full precision is called no"),
        ({"train_data_dir": None}, "one of --train_data_dir, --train_table and --dataset_name"),
        ({"dataset_name": "a/b"}, "one of --train_data_dir, --train_table and --dataset_name"),
        ({"train_data_dir": "nowhere"}, "nowhere does not exist"),
        ({"train_data_dir": None, "train_table": "nowhere.csv"}, "nowhere.csv does not exist"),
        ({"train_data_dir": None, "train_table": "table.xls"}, "is no table"),
        ({"train_data_dir": None, "dataset_name": "nowhere.parquet"}, "nowhere.parquet could not be loaded"),
        ({"pretrained_model_name_or_path": "nowhere"}, "nowhere"),
        ({"max_train_steps": 0}, "steps is 0"),
        ({"max_train_steps": "many"}, "invalid int value: 'many'; see --help"),
        ({"stepz": 3}, "unrecognized arguments: --stepz 3"),
        ({"lr_scheduler": "polynomial"}, "choose one of cosine, constant"),
        ({"train_batch_size": 0}, "--train_batch_size is 0"),
        ({"checkpointing_steps": 0}, "checkpointing_steps is 0"),
        ({"checkpoints_total_limit": 0}, "checkpoints_total_limit is 0"),
        ({"resume_from_checkpoint": "checkpoint-7"}, "no checkpoint checkpoint-7"),
        ({"validation_image": "nowhere.jpg"}, "nowhere.jpg does not exist"),
        ({"report_to": "papertrail"}, "no tracker 'papertrail'"),
        ({"report_to": "wandb", "hub_token": "secret"}, "hf auth login"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_unusable_input_is_one_sentence_and_leaves_nothing(
    pairs: Path, flags: Flags, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: dict[str, Any], said: str
) -> None:
    assert here(flags("out", **more)) == 2
    err = capsys.readouterr().err
    (line,) = [line for line in err.splitlines() if line.startswith("learn_instruction: ")]
    assert said in line
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists()


def test_the_flags_reach_the_learner(pairs: Path, flags: Flags, tmp_path: Path) -> None:
    more = {"learning_rate": 0.02, "lr_scheduler": "constant_with_warmup", "lr_warmup_steps": 3, "adam_weight_decay": 0.1}
    more |= {"seed": 5, "edit_weight": 0, "resolution": 48, "train_batch_size": 2, "gradient_accumulation_steps": 3}
    assert here(flags("out", **more)) == 0
    config = LearnedInstruction.from_pretrained(tmp_path / "out").record.config
    expected = {
        "steps": 6, "learning_rate": 0.02, "schedule": "constant", "warmup": 3, "weight_decay": 0.1, "seed": 5,
        "edit_weight": 0.0, "resolution": 48, "draws": 6, "init": "text", "text": "ink", "rows": 4,
    }  # fmt: skip
    assert {key: config[key] for key in expected} == expected


def test_help_is_quick() -> None:
    start = time.monotonic()
    done = subprocess.run([sys.executable, str(RECIPE), "--help"], env=environment(), capture_output=True, text=True)
    assert "--gradient_accumulation_steps" in done.stdout
    assert time.monotonic() - start < 3
