"""
The header of a model's section, and what [swapgate] sets for all models.
"""

from twisted.trial.unittest import SynchronousTestCase

from swapgate.config.expand import Expander
from swapgate.config.ini import ConfigError, Section
from swapgate.config.model import (
    ONE_AT_A_TIME,
    model_fields,
    model_name,
    read_model,
)
from swapgate.config.options import GENERAL

EXPANDER = Expander(folder="/etc", python="/bin/py", environ={})


def section(name: str, **options: str) -> Section:
    return Section(path="/c", name=name, line=1, options=options)


class HeaderTests(SynchronousTestCase):
    """
    [model NAME], and nothing else.
    """

    def test_mistakes(self) -> None:
        """
        Each says what is wrong with it, and what would be right.
        """
        for name, expected in {
            "DEFAULT": (
                "is no section here; what holds for all models stands in [swapgate]"
            ),
            "modle a": (
                "is no section here; did you mean model? "
                "there are [swapgate], [model NAME] and [route NAME]"
            ),
            "zzz": (
                "is no section here; "
                "there are [swapgate], [model NAME] and [route NAME]"
            ),
            "model": "has an empty name; write what clients send as model",
            "model a\u200bb": (
                "'a\\u200bb' has characters that do not show; take them out"
            ),
        }.items():
            with self.subTest(name):
                error = self.assertRaises(ConfigError, model_name, section(name))
                self.assertTrue(str(error).endswith(f"] {expected}"), str(error))


class ForAllTests(SynchronousTestCase):
    """
    What [swapgate] says for every model.
    """

    def test_fields(self) -> None:
        """
        Only what stands there; one option may set two fields.
        """
        general = section("swapgate", stall_timeout="5 s", load_timeout="1 min")
        self.assertEqual(
            model_fields(general, EXPANDER, GENERAL),
            {
                "first_token_timeout_s": 5.0,
                "stall_timeout_s": 5.0,
                "load_timeout_s": 60.0,
            },
        )

    def test_without_a_budget(self) -> None:
        """
        One model is up at a time, whatever its memory; its own timings go first.
        """
        child = {"service": "child", "command": "x ${port}", "memory": "3 GB"}
        of_model = section("model a", **child, load_timeout="2 s")
        general_fields = {"load_timeout_s": 60.0, "stop_timeout_s": 1.0}
        model = read_model("a", of_model, None, general_fields, EXPANDER)
        self.assertEqual(model.memory_bytes, ONE_AT_A_TIME)
        self.assertEqual((model.load_timeout_s, model.stop_timeout_s), (2.0, 1.0))
