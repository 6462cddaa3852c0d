"""No call outlives its deadline, whatever the provider does with it."""

from __future__ import annotations

from tests.chaos.place import TENANT, place
from tests.chaos.scene import Counts, Scene
from tests.chaos.told import NO_REPLY, NOBODY, Answers, Plan, quantile
from tests.figure import Figure, at_most, equal, listed, told
from tests.upstream import Behaviour

SHARE = 0.999
AGENTS = 40
TIMES = (150, 900)

# What a provider may do to a call that has little time. It fails now and then only: one that fails again and again is
# called no more.
MOODS: dict[str, Behaviour] = {
    "silent": Behaviour(silent=1.0),
    "of all sorts": Behaviour(silent=0.2, fail=0.1, lose=0.1, delay=0.3),
    "dripping": Behaviour(drip=0.05),
    "late": Behaviour(delay=0.6),
    "limited": Behaviour(fail=0.5, status=429, delay=0.05),
    "failing now and then": Behaviour(fail=0.2, delay=0.1),
}


async def overrun(scene: Scene) -> list[Figure]:
    """Reads and writes with times of 150 to 900 ms, one mood of the provider after the other."""
    figures: list[Figure] = []
    async with place(scene.folder) as here:
        await here.grow(2)
        await here.connect("plain")
        subjects = tuple(
            f"sidecar.{access}.{TENANT}.shop.plain.{operation}"
            for access, operation in (("read", "items.get"), ("write", "items.create"))
        )
        for mood, behaviour in list(MOODS.items())[: scene.counts.moods]:
            await here.up.become(behaviour)
            plan = Plan(
                subjects=subjects,
                name=mood.replace(" ", "-"),
                agents=AGENTS,
                calls=scene.counts.overruns // scene.counts.moods,
                timeout_ms=TIMES,
            )
            async with here.load(plan) as load:
                figures += _judged(mood, await load.done(scene.counts.seconds * 10), scene.counts)
    return figures


def _judged(mood: str, answers: Answers, counts: Counts) -> list[Figure]:
    late = [told.overrun for told in answers.told]
    return [
        told(f"a provider that is {mood}", listed(answers.outcomes)),
        equal("  calls without a reply", answers.outcomes[NO_REPLY] + answers.outcomes[NOBODY], 0),
        at_most("  overrun, p99.9", quantile(SHARE, late), counts.overrun, " s"),
        at_most("  overrun, longest", max(late), counts.overrun_most, " s"),
        told("  the agents themselves stood still for up to", f"{answers.longest_stop:.3f} s"),
    ]
