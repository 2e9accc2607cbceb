"""
The table of one daemon's life, cell by cell.
"""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from swapgate.fleet.lifecycle import Action, Event, ImpossibleEvent, Life, Phase, step

STARTING = Life(Phase.STARTING)
READY = Life(Phase.READY)
STOPPED = Life(Phase.STOPPED)
STOPPING = Life(Phase.STOPPING)
FAILED = Life(Phase.FAILED)
UNDONE = Life(Phase.STOPPING, failing=True)
DRAINING = Life(Phase.DRAINING)

# As literal as can be: None stays, what is missing raises.
TABLE: dict[Life, dict[Event, tuple[Any, ...] | None]] = {
    STOPPED: {
        Event.WANTED: (STARTING, Action.LAUNCH, Action.POLL),
        Event.DIED: None,
        Event.EXITED: None,
        Event.FOUND: (READY,),
    },
    STARTING: {
        Event.WANTED: None,
        Event.HEALTHY: (READY, Action.UNPOLL),
        Event.TIMED_OUT: (UNDONE, Action.UNPOLL, Action.HALT),
        Event.EVICTED: (STOPPING, Action.UNPOLL, Action.HALT),
        Event.DIED: (UNDONE, Action.UNPOLL, Action.HALT),
        Event.EXITED: (FAILED, Action.UNPOLL),
        Event.FOUND: None,
    },
    READY: {
        Event.WANTED: None,
        Event.EVICTED: (DRAINING,),
        Event.IDLE: None,
        Event.DIED: (STOPPING, Action.HALT),
        Event.EXITED: (STOPPED,),
        Event.FOUND: None,
    },
    DRAINING: {
        Event.WANTED: (READY,),
        Event.EVICTED: None,
        Event.IDLE: (STOPPING, Action.HALT),
        Event.DIED: (STOPPING, Action.HALT),
        Event.EXITED: (STOPPED,),
        Event.FOUND: None,
    },
    STOPPING: {
        Event.WANTED: None,
        Event.HEALTHY: None,
        Event.EVICTED: None,
        Event.DIED: None,
        Event.IDLE: None,
        Event.EXITED: (STOPPED,),
        Event.FOUND: None,
    },
    UNDONE: {
        Event.WANTED: None,
        Event.HEALTHY: None,
        Event.EVICTED: None,
        Event.DIED: None,
        Event.IDLE: None,
        Event.EXITED: (FAILED,),
        Event.FOUND: None,
    },
    FAILED: {
        Event.WANTED: (STARTING, Action.LAUNCH, Action.POLL),
        Event.DIED: None,
        Event.EXITED: None,
        Event.FOUND: (READY,),
    },
}


class TableTests(SynchronousTestCase):
    """
    Every event in every phase.
    """

    def test_every_cell(self) -> None:
        """
        A cell leads on, stays, or raises; there is no fourth kind.
        """
        for life, row in TABLE.items():
            for event in Event:
                with self.subTest(life=life, event=event):
                    if event not in row:
                        with self.assertRaises(ImpossibleEvent):
                            step(life, event)
                        continue
                    after, *actions = row[event] or (life,)
                    self.assertEqual(step(life, event), (after, tuple(actions)))

    def test_a_bug_is_named(self) -> None:
        """
        What cannot happen says what and where.
        """
        with self.assertRaises(ImpossibleEvent) as raised:
            step(READY, Event.HEALTHY)
        self.assertEqual(
            str(raised.exception), "HEALTHY cannot happen to a daemon in READY"
        )

    def test_memory_counts_until_it_is_gone(self) -> None:
        """
        Only what is stopped or has failed holds no memory.
        """
        self.assertEqual(
            {phase for phase in Phase if not phase.resident},
            {Phase.STOPPED, Phase.FAILED},
        )
