# SPDX-License-Identifier: Apache-2.0
"""Configuration: every request holds, or the error says which does not and why."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from driver.errors import UserError
from driver.kernel import kconfig_fragment as fragments_module
from driver.kernel.kconfig import configure, parse
from driver.kernel.kconfig_explanation import why_dropped
from driver.kernel.kconfig_fragment import Fragment, builtin, resolve, variants
from driver.kernel.make import Make

SHIPPED = Path(fragments_module.__file__).parent / "fragments"


@pytest.fixture
def make(tree: Path, tmp_path: Path) -> Make:
    (tmp_path / "build").mkdir()
    return Make(tree, tmp_path / "build", jobs=1, localversion="")


GCC = {"gcc": "gcc 12"}


class TestFragment:
    def test_forms(self) -> None:
        text = """
            # a comment, then all kinds of values
            CONFIG_A=y
            CONFIG_B=0x10
            CONFIG_C="a \\"quoted\\" word"
            CONFIG_D=n
            # CONFIG_E is not set
        """
        asked = {name: request.value for name, request in resolve([Fragment("x", text)]).items()}
        assert asked == {"A": "y", "B": "0x10", "C": '"a \\"quoted\\" word"', "D": "n", "E": "n"}

    @pytest.mark.parametrize("line", ["FOO=y", "CONFIG_FOO", "CONFIG_FOO=yes", "CONFIG_FOO = y"])
    def test_anything_else_is_refused(self, line: str) -> None:
        with pytest.raises(UserError, match=r"^x\.config:2: `.*` is not a configuration line"):
            Fragment("x.config", f"CONFIG_A=y\n{line}\n").requests()

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            ("CONFIG_NUMA=y", "# CONFIG_NUMA is not set"),
            ("CONFIG_LOG_BUF_SHIFT=18", "CONFIG_LOG_BUF_SHIFT=20"),
            ("CONFIG_NUMA=y  # overrides two.config", "CONFIG_NUMA=n"),
            ("CONFIG_NUMA=y", "CONFIG_NUMA=n  # overrides three.config"),
        ],
    )
    def test_a_contradiction_names_both_files_and_lines(self, first: str, second: str) -> None:
        parts = [Fragment("one.config", f"\n{first}\n"), Fragment("two.config", f"{second}\n")]
        with pytest.raises(
            UserError, match=r"^two\.config:1 asks .*, but one\.config:2 "
        ) as caught:
            resolve(parts)
        assert "end the later one with `# overrides one.config`" in str(caught.value.hint)

    def test_every_contradiction_is_named(self) -> None:
        parts = [
            Fragment("one", "CONFIG_A=y\nCONFIG_B=1\n"),
            Fragment("two", "CONFIG_A=n\nCONFIG_B=2"),
        ]
        with pytest.raises(UserError) as caught:
            resolve(parts)
        assert caught.value.excerpt == "one:2: CONFIG_B=1\ntwo:2: CONFIG_B=2"

    def test_within_one_fragment_nothing_overrides(self) -> None:
        with pytest.raises(UserError, match=r"^x:2 asks for CONFIG_A=n, but x:1") as caught:
            resolve([Fragment("x", "CONFIG_A=y\nCONFIG_A=n")])
        assert caught.value.hint == "Remove one of the lines."

    def test_an_override_is_of_the_fragment_in_force(self) -> None:
        one = Fragment("one", "CONFIG_A=1")
        two = Fragment("two", "CONFIG_A=2 # known in 6.12 # overrides one")
        assert resolve([one, two])["A"].fragment == "two"
        assert resolve([one, two])["A"].known_in == "6.12"
        with pytest.raises(UserError, match=r"^three:1 asks for CONFIG_A=1, but two:1"):
            resolve([one, two, Fragment("three", "CONFIG_A=1 # overrides one")])
        assert resolve([one, two, Fragment("three", "CONFIG_A=1 # overrides one, two")])["A"]

    def test_the_same_value_in_two_forms_is_no_contradiction(self) -> None:
        parts = [
            Fragment("one", "CONFIG_A=0x10\nCONFIG_B=n"),
            Fragment("two", "CONFIG_A=16\n# CONFIG_B is not set"),
        ]
        assert resolve(parts)["A"].value == "16"

    @pytest.mark.parametrize(
        "variant", sorted({p.stem for p in SHIPPED.glob("*.config")} - {"machine"})
    )
    def test_shipped_variants_say_what_they_override(self, variant: str) -> None:
        resolve([Fragment.read(SHIPPED / f"{name}.config") for name in ("machine", variant)])

    def test_a_symbol_that_some_kernels_lack(self) -> None:
        text = "CONFIG_A=y  # known in 6.12\n# CONFIG_B is not set # known in 7.3\nCONFIG_C=y\n"
        asked = resolve([Fragment("x", text)])
        assert {name: (one.value, one.known_in) for name, one in asked.items()} == {
            "A": ("y", "6.12"), "B": ("n", "7.3"), "C": ("y", ""),
        }  # fmt: skip
        required = [(one.required("6.12"), one.required("7.3")) for one in asked.values()]
        assert required == [(True, False), (False, True), (True, True)]

    @pytest.mark.parametrize("marker", ["# known", "# known in", "# in 6.12", "# known in 6"])
    def test_another_remark_behind_a_symbol_is_refused(self, marker: str) -> None:
        with pytest.raises(UserError, match="is not a configuration line") as caught:
            Fragment("x.config", f"CONFIG_A=y {marker}\n").requests()
        assert "# known in BASE" in str(caught.value.hint)

    def test_unknown_variant(self) -> None:
        with pytest.raises(UserError, match="no kernel variant `debgu`") as caught:
            builtin("debgu")
        assert caught.value.hint == "Did you mean 'debug'? Known: debug."

    def test_variants_leave_the_machine_out(self) -> None:
        assert variants() == ["debug"]

    @pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.config")), ids=lambda path: path.stem)
    def test_shipped_fragments_ask_once_for_each_symbol(self, path: Path) -> None:
        counts = Counter(request.symbol for request in Fragment.read(path).requests())
        assert counts
        assert max(counts.values()) == 1


class TestConfigure:
    def test_everything_asked_for_holds(self, make: Make) -> None:
        configure(make, [Fragment("m", "CONFIG_SMP=y\nCONFIG_NR_CPUS=8\nCONFIG_NUMA=n\n")], GCC)
        assert parse(make.build / ".config") == {"TINY": "y", "SMP": "y", "NR_CPUS": "8"}

    def test_a_dropped_symbol_is_named_with_what_it_lacks(self, make: Make) -> None:
        part = Fragment("series.config", "CONFIG_SMP=y\n\nCONFIG_FEATURE=y\n")
        with pytest.raises(UserError) as caught:
            configure(make, [part], GCC)
        assert "CONFIG_FEATURE was requested" in caught.value.message
        assert caught.value.excerpt == (
            "series.config:3: CONFIG_FEATURE=y became n: depends on DAX [=n] && SMP [=y] (Kconfig)"
        )

    def test_a_misspelt_symbol_gets_a_suggestion(self, make: Make) -> None:
        with pytest.raises(UserError) as caught:
            configure(make, [Fragment("x", "CONFIG_FEATURES=y\n")], GCC)
        assert "no such symbol; did you mean CONFIG_FEATURE?" in str(caught.value.excerpt)

    def test_a_symbol_of_other_kernels_is_left_out(self, make: Make) -> None:
        """The miniature is a 6.12."""
        text = "CONFIG_SMP=y\nCONFIG_GONE=y # known in 6.9\nCONFIG_NUMA=y # known in 6.9\n"
        configure(make, [Fragment("m", text)], GCC)
        config = parse(make.build / ".config")
        assert "GONE" not in config
        assert config["NUMA"] == "y", "asked for, since this kernel has it"

    def test_in_its_base_it_must_hold(self, make: Make) -> None:
        with pytest.raises(UserError) as caught:
            configure(make, [Fragment("m", "CONFIG_FEATURES=y # known in 6.12\n")], GCC)
        assert "no such symbol; did you mean CONFIG_FEATURE?" in str(caught.value.excerpt)

    def test_where_a_kernel_has_it_it_must_hold_too(self, make: Make) -> None:
        with pytest.raises(UserError, match="CONFIG_FEATURE was requested"):
            configure(make, [Fragment("m", "CONFIG_FEATURE=y # known in 6.9\n")], GCC)

    def test_a_dropped_symbol_is_told_with_the_kernel_that_has_it(
        self, make: Make, tmp_path: Path
    ) -> None:
        older = tmp_path / "older"
        older.mkdir()
        (older / "Kconfig").write_text('config GONE\n\tbool "Gone"\n')
        trees = {"6.9.1": older, "6.12.1": make.tree}
        fragment = Fragment("m.config", "CONFIG_SMP=y\nCONFIG_GONE=y\nCONFIG_GONNE=y\n")
        with pytest.raises(UserError) as caught:
            configure(make, [fragment], GCC, trees)
        gone = "this source has no such symbol; Linux 6.9.1 has it"
        assert str(caught.value.excerpt).splitlines() == [
            f"m.config:2: CONFIG_GONE=y became n: {gone}",
            "m.config:3: CONFIG_GONNE=y became n: this source has no such symbol",
        ]
        assert "end the line with `# known in 6.9`" in str(caught.value.hint)

    def test_numbers_compare_as_numbers(self, make: Make) -> None:
        configure(make, [Fragment("m", "CONFIG_SMP=y\nCONFIG_NR_CPUS=0x8\n")], GCC)
        assert parse(make.build / ".config")["NR_CPUS"] == "0x8"

    def test_is_done_again_only_when_something_changed(self, make: Make) -> None:
        def ran(text: str, compiler: dict[str, str]) -> bool:
            make.fresh_log()
            configure(make, [Fragment("m", text)], compiler)
            return make.log.exists()

        assert ran("CONFIG_SMP=y\n", GCC)
        assert not ran("CONFIG_SMP=y\n", GCC)
        assert ran("CONFIG_SMP=y\nCONFIG_NUMA=y\n", GCC)
        assert ran("CONFIG_SMP=y\nCONFIG_NUMA=y\n", {"gcc": "gcc 13"})
        with (make.tree / "Kconfig").open("a") as kconfig:
            kconfig.write('config NEW\n\tbool "New"\n')
        assert ran("CONFIG_SMP=y\nCONFIG_NUMA=y\n", {"gcc": "gcc 13"})
        (make.build / ".config").write_text("CONFIG_TAMPERED=y\n")
        assert ran("CONFIG_SMP=y\nCONFIG_NUMA=y\n", {"gcc": "gcc 13"})

    def test_a_refused_configuration_is_refused_again(self, make: Make) -> None:
        for _ in range(2):
            with pytest.raises(UserError, match="CONFIG_FEATURE was requested"):
                configure(make, [Fragment("x", "CONFIG_FEATURE=y\n")], GCC)

    def test_the_callers_environment_does_not_matter(
        self, make: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("KCONFIG_CONFIG", "/nonexistent/.config")
        monkeypatch.setenv("MAKEFLAGS", "--question")
        configure(make, [Fragment("m", "CONFIG_SMP=y\n")], GCC)
        assert parse(make.build / ".config")["SMP"] == "y"

    def test_a_path_kbuild_cannot_take(self, tree: Path, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="contains a space or a colon"):
            Make(tree, tmp_path / "two words", jobs=1, localversion="")


class TestReason:
    """Against Kconfig constructs of the real kernel's files."""

    KCONFIG = """
menu "Memory"
    depends on MMU

config ALWAYS
    def_bool y
    select CHOSEN
    help
      if this prose were taken for a block, what follows would
      depend on it.

config CHOSEN
    bool "Chosen by others"

config HIDDEN
    bool

config SPLIT
    bool "Long condition" if EXPERT
    depends on FIRST || \\
           SECOND
endmenu

config FREE
    bool "Outside of the menu"
"""

    @pytest.mark.parametrize(
        ("symbol", "value", "reason"),
        [
            ("SPLIT", "y", "depends on MMU [=y] && EXPERT [=n] && (FIRST [=n] || SECOND [=n])"),
            ("HIDDEN", "y", "it cannot be set by hand, only selected by others"),
            ("CHOSEN", "n", "selected by CONFIG_ALWAYS"),
            ("FREE", "y", "no unmet dependency is visible in mm/Kconfig"),
            ("ABSENT", "y", "this source has no such symbol"),
        ],
    )
    def test_reasons(self, tmp_path: Path, symbol: str, value: str, reason: str) -> None:
        (tmp_path / "mm").mkdir()
        (tmp_path / "mm/Kconfig").write_text(self.KCONFIG)
        config = {"MMU": "y", "ALWAYS": "y", "CHOSEN": "y"}
        found = why_dropped(tmp_path, symbol, value, config)
        assert " ".join(found.split()).startswith(reason)

    def test_other_architectures_do_not_count(self, tmp_path: Path) -> None:
        for folder in ("arch/arm", "arch/x86"):
            (tmp_path / folder).mkdir(parents=True)
        (tmp_path / "arch/arm/Kconfig").write_text('config ARM_ONLY\n\tbool "Not here"\n')
        assert "no such symbol" in why_dropped(tmp_path, "ARM_ONLY", "y", {})
