from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boinc2docker.base.debian.modules import Module, closure, described, module_name
from boinc2docker.errors import InputError


def kernel(**modules: dict[str, list[str]]) -> dict[str, Module]:
    return {name: described(name, facts) for name, facts in modules.items()}


def names(found: list[Module]) -> list[str]:
    return [module.name for module in found]


def test_a_module_is_named_as_the_kernel_names_it() -> None:
    assert module_name("kernel/drivers/char/hw_random/virtio-rng.ko.xz") == "virtio_rng"
    assert module_name("kernel/net/9p/9p.ko") == "9p"


def test_modinfo_is_understood() -> None:
    module = described("a-b", {"depends": ["x,y-z", ""], "softdep": ["pre: crc32c post: q"], "alias": ["fs-ext4"]})
    assert module == Module("a_b", ("x", "y_z"), ("crc32c", "q"), ("fs-ext4",))


@given(
    st.dictionaries(st.integers(0, 12), st.lists(st.integers(0, 12), max_size=4), min_size=13, max_size=13), st.data()
)
def test_the_closure_is_complete_minimal_and_loadable(edges: dict[int, list[int]], data: st.DataObject) -> None:
    graph = {f"m{index}": [f"m{other}" for other in others if other < index] for index, others in edges.items()}
    modules = kernel(**{name: {"depends": [",".join(needs)]} for name, needs in graph.items()})
    wanted = data.draw(st.lists(st.sampled_from(sorted(graph)), max_size=4))
    found = names(closure(wanted, modules.get, builtin=()))

    reachable, before = set(wanted), set[str]()
    while reachable != before:
        before = set(reachable)
        reachable |= {need for name in before for need in graph[name]}
    assert sorted(found) == sorted(reachable)
    for position, name in enumerate(found):
        assert set(graph[name]) <= set(found[:position])


def test_soft_dependencies_are_loaded_first() -> None:
    modules = kernel(ext4={"softdep": ["pre: crc32c-generic"]}, crc32c_generic={"name": ["crc32c_generic"]})
    assert names(closure(["ext4"], modules.get, builtin=())) == ["crc32c_generic", "ext4"]


def test_a_soft_dependency_may_name_an_alias_of_a_wanted_module() -> None:
    modules = kernel(libcrc32c={"softdep": ["pre: crc32c"]}, crc32c_generic={"alias": ["crypto-crc32c"]})
    wanted = ["libcrc32c", "crc32c_generic"]
    assert sorted(names(closure(wanted, modules.get, builtin=()))) == sorted(wanted)
    with pytest.raises(InputError, match="libcrc32c asks for crc32c, which no module of the image is"):
        closure(["libcrc32c"], modules.get, builtin=())
    assert names(closure(["libcrc32c"], modules.get, builtin=(), without=["crc32c"])) == ["libcrc32c"]


def test_what_the_kernel_has_built_in_is_no_module() -> None:
    modules = kernel(a={"depends": ["fuse"], "softdep": ["pre: virtio_pci"]})
    assert names(closure(["a", "fuse"], modules.get, builtin={"fuse", "virtio_pci"})) == ["a"]


def test_soft_dependencies_in_a_circle_end() -> None:
    modules = kernel(a={"softdep": ["pre: b"]}, b={"softdep": ["post: a"]})
    assert sorted(names(closure(["a"], modules.get, builtin=()))) == ["a", "b"]


def test_a_module_that_does_not_exist_is_named_with_who_wants_it() -> None:
    modules = kernel(a={"depends": ["gone"]})
    with pytest.raises(InputError, match="no module gone, wanted by a"):
        closure(["a"], modules.get, builtin=())
    with pytest.raises(InputError, match="no module nosuch, wanted by the image"):
        closure(["nosuch"], modules.get, builtin=())
