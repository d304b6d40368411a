"""A trained model that cannot be scored. Every model here is trained, saved and loaded by PyTorch, in two sandboxes."""

import numpy as np

from research_app.models import Run
from tests.ends.table import end
from tests.ends.test_steps import MODEL, corpus_of
from tests.ends.world import World
from tests.scorer_samples import write_shard
from tests.small_project import TRAIN

SAVE = 'save_file({"table": Bigram().table.data}, os.environ["SIGNOFF_OUT"] + "/checkpoint.safetensors")'
ANSWER = "return self.table[tokens]"
BUILD = "build_model = Bigram"


def scored(world: World, old: str, new: str) -> str:
    """Train the model with one line of it changed, have it scored, and say where that is read."""
    assert old in MODEL
    run = world.queue((TRAIN, "import os\n" + MODEL.replace(old, new)))
    corpus = corpus_of(world.project, b"")
    tokens = np.random.default_rng(0).integers(0, 256, size=(129, 9))  # also whole windows of 129 bytes, for the detectors
    write_shard(corpus / "held_out" / "gate.bin", tokens, 256)
    world.configure(metric={"source": "scored", "pattern": ""})
    trained: Run = world.train(run)
    assert trained.exit_code == 0 and trained.score is None
    return world.address(trained)


@end("It writes no checkpoint", "the line is left out", "Training ended without writing checkpoint.safetensors")
def test_a_model_that_is_not_saved(world: World) -> str:
    return scored(world, SAVE, "pass")


@end("Its checkpoint is cut short", "the last half of the file is missing", "The checkpoint is no complete safetensors file")
def test_a_checkpoint_that_is_cut_short(world: World) -> str:
    return scored(world, SAVE, f'{SAVE}; os.truncate(os.environ["SIGNOFF_OUT"] + "/checkpoint.safetensors", 100_000)')


@end(
    "Its checkpoint is no plain file",
    "a real link in its place",
    "The checkpoint was refused: checkpoint.safetensors cannot be",
)
def test_a_checkpoint_that_is_a_link(world: World) -> str:
    return scored(world, SAVE, 'os.symlink("/etc/hostname", os.environ["SIGNOFF_OUT"] + "/checkpoint.safetensors")')


@end("Its model cannot be built again", "`build_model` raises", "The trained model cannot be scored: … the flux is off")
def test_a_model_that_cannot_be_built(world: World) -> str:
    return scored(world, BUILD, "def build_model():\n    raise RuntimeError('the flux is off')\n")


@end("Its model does not fit its checkpoint", "`build_model` makes another one", "The trained model cannot be scored: …")
def test_a_model_that_does_not_fit_its_checkpoint(world: World) -> str:
    return scored(world, BUILD, "build_model = lambda: torch.nn.Linear(2, 2)")


@end(
    "Its model answers in another shape",
    "logits for one token less",
    "The model answered … tokens with logits of shape …; it must be",
)
def test_logits_of_another_shape(world: World) -> str:
    return scored(world, ANSWER, "return self.table[tokens][..., :-1]")


@end(
    "Its model answers with what is no number",
    "logits that are nan",
    "The trained model answers with logits that are not finite",
)
def test_logits_that_are_not_finite(world: World) -> str:
    return scored(world, ANSWER, "return self.table[tokens] * float('nan')")


@end(
    "Its model ends while it is scored",
    "`os._exit(3)` in its answer",
    "The model stopped while it was scored (exit code 3); it printed nothing.",
)
def test_a_model_that_ends_while_it_is_scored(world: World) -> str:
    return scored(world, ANSWER, "os._exit(3)")
