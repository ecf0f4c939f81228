from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from dataflow_assets.errors import CredentialError, FetchFailed, ItemRefused, SourceUnavailable
from dataflow_assets.source_settings import GitSource as GitSettings
from dataflow_assets.sources.base import Context as SourceContext
from dataflow_assets.sources.base import Fetched, Item
from dataflow_assets.sources.git import GitSource
from dataflow_assets_tests.sources.worlds.git import Repository, Server


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "repo")
    made.commit(one="First", two="Second")
    return made


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path)
    yield made
    made.close()


def local(tmp_path: Path, url: str = "repo", **settings: Any) -> GitSource:
    return GitSource(GitSettings(url=url, **settings), SourceContext(tmp_path, tmp_path / "cache"))


def remote(tmp_path: Path, server: Server, **settings: Any) -> GitSource:
    given = {"url": f"{server.url}/repo/.git", "allow_hosts": ("127.0.0.1",), "retries": 0, **settings}
    return GitSource(GitSettings(**given), SourceContext(tmp_path, tmp_path / "cache"))


def texts(source: GitSource) -> dict[str, bytes]:
    found = {}
    for item, result in source.fetch_all(source.list()):
        assert isinstance(result, Fetched), result
        assert isinstance(result.content, bytes)
        found[item.path_key] = result.content
    return found


def test_a_folder_of_this_machine_is_read_where_it_lies(tmp_path: Path, repository: Repository) -> None:
    source = local(tmp_path)
    assert [(item.uri, item.path_key, item.media_type) for item in source.list()] == [
        ("repo/one.md", "one.md", "text/markdown"),
        ("repo/two.md", "two.md", "text/markdown"),
    ]
    assert texts(source) == {"one.md": b"First", "two.md": b"Second"}
    repository.write("one.md", "not committed")
    assert texts(source)["one.md"] == b"First"
    assert sum(path.stat().st_size for path in (tmp_path / "cache").rglob("*") if path.is_file()) < 1000
    assert list(local(tmp_path, f"file://{tmp_path}/repo").list())


def test_bare_repositories_and_work_trees_are_repositories_too(tmp_path: Path, repository: Repository) -> None:
    repository.git("clone", "--quiet", "--bare", ".", "../bare")
    repository.git("worktree", "add", "--quiet", "../tree", "-b", "side")
    assert texts(local(tmp_path, "bare")) == texts(local(tmp_path, "tree")) == texts(local(tmp_path))


@pytest.mark.parametrize("where", ["", "nowhere", "repo/folder"])
def test_what_is_no_repository_is_unavailable(tmp_path: Path, repository: Repository, where: str) -> None:
    repository.write("folder/a.md", "a")
    repository.commit()
    with pytest.raises(SourceUnavailable, match=r"repository|not there"):
        list(local(tmp_path, where or ".").list())


def test_branches_tags_and_commits(tmp_path: Path, repository: Repository, server: Server) -> None:
    first = repository.git("rev-parse", "HEAD")
    repository.git("tag", "plain")
    repository.git("tag", "-a", "-m", "x", "v1.0")
    repository.git("branch", "feature/x")
    repository.commit(one="Later")
    later = {item.path_key: item.fingerprint for item in local(tmp_path).list()}["one.md"]
    for open_it in (lambda ref: local(tmp_path, ref=ref), lambda ref: remote(tmp_path, server, ref=ref)):
        for ref in ("v1.0", "feature/x", first, "refs/tags/plain"):
            assert [item.fingerprint == later for item in open_it(ref).list()] == [False, False], ref
        assert next(open_it("main").list()).fingerprint == next(open_it("HEAD").list()).fingerprint == later
        for ref in ("x", "0" * 40, first[:10]):
            with pytest.raises(SourceUnavailable):
                list(open_it(ref).list())


def test_only_the_folder_and_what_the_patterns_take(tmp_path: Path, repository: Repository, server: Server) -> None:
    repository.write("docs/en/a.md", "A")
    repository.write("docs/en/sub/b.md", "B")
    repository.write("docs/en/c.txt", "C")
    repository.commit()
    for source in (
        local(tmp_path, folder="docs/en/", include=("**/*.md",)),
        remote(tmp_path, server, folder="./docs/en", include=("**/*.md",)),
    ):
        assert texts(source) == {"a.md": b"A", "sub/b.md": b"B"}
        assert all("/docs/en/" in item.uri for item in source.list())
    with pytest.raises(SourceUnavailable, match="no folder docs/fr"):
        list(remote(tmp_path, server, folder="docs/fr").list())
    with pytest.raises(SourceUnavailable, match=r"no folder one\.md"):
        list(remote(tmp_path, server, folder="one.md").list())


def test_links_submodules_and_pointers_are_no_documents(tmp_path: Path, repository: Repository) -> None:
    (repository.folder / "link.md").symlink_to("one.md")
    (repository.folder / "out.md").symlink_to("/etc/passwd")
    repository.git("add", "--all", ".")
    commit = repository.git("rev-parse", "HEAD")
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{commit},module")
    repository.write("large.bin", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    repository.git("add", "large.bin")
    repository.git("commit", "--quiet", "-m", "x")
    source = local(tmp_path)
    items = {item.path_key: item for item in source.list()}
    assert items.keys() == {"one.md", "two.md", "large.bin"}
    assert any("2 links" in note and "link.md" in note for note in source.notes)
    assert any("A submodule" in note and "module" in note for note in source.notes)
    with pytest.raises(ItemRefused, match="Git LFS"):
        source.fetch(items["large.bin"])


def test_strange_names(tmp_path: Path, repository: Repository) -> None:
    names = [
        b"new\nline.md",
        b"bad\xff.md",
        b"100%41.md",
        b"tab\t.md",
        "größe 漢字.md".encode(),
        b"-rf.md",
        b'quote".md',
    ]
    for name in names:
        with open(os.path.join(os.fsencode(repository.folder), name), "wb") as file:
            file.write(name)
    repository.commit()
    source = local(tmp_path)
    items = [item for item in source.list() if item.path_key not in ("one.md", "two.md")]
    assert sorted(source.fetch(item).content for item in items) == sorted(names)  # type: ignore[type-var]
    for item in items:
        assert item.uri.isprintable()
        item.path_key.encode()


def test_a_file_that_is_too_large_is_refused_and_the_next_is_read(tmp_path: Path, repository: Repository) -> None:
    repository.commit(large="x" * 3_000_000, next="small")
    source = local(tmp_path, max_bytes=1000)
    results = {item.path_key: result for item, result in source.fetch_all(source.list())}
    assert isinstance(results["large.md"], ItemRefused)
    assert "3,000,000" in str(results["large.md"])
    assert results["next.md"] == Fetched(b"small")


def test_only_what_is_wanted_is_fetched(tmp_path: Path, repository: Repository, server: Server) -> None:
    noise = os.urandom(2_000_000)
    repository.write("large.bin", noise)
    repository.commit()
    repository.write("large.bin", noise[::-1])
    repository.commit(one="Third")
    source = remote(tmp_path, server, include=("*.md",))
    assert texts(source) == {"one.md": b"Third", "two.md": b"Second"}
    assert server.blobs_fetched() == 2
    assert sum(path.stat().st_size for path in (tmp_path / "cache").rglob("*") if path.is_file()) < 100_000
    asked = len(server.fetches)
    assert list(remote(tmp_path, server, include=("*.md",)).list())
    assert len(server.fetches) == asked
    repository.commit(two="Fourth")
    again = remote(tmp_path, server, include=("*.md",))
    assert texts(again)["two.md"] == b"Fourth"
    assert server.blobs_fetched() == 3


def test_a_server_that_cannot_leave_blobs_out_is_read_too(
    tmp_path: Path, repository: Repository, server: Server
) -> None:
    repository.git("config", "uploadpack.allowFilter", "false")
    assert texts(remote(tmp_path, server)) == {"one.md": b"First", "two.md": b"Second"}
    repository.commit(one="Third")
    assert texts(remote(tmp_path, server))["one.md"] == b"Third"


def test_a_server_of_the_old_protocol_is_read_too(tmp_path: Path, repository: Repository, server: Server) -> None:
    server.environment = {"GIT_PROTOCOL": ""}
    for allows in ("true", "false"):
        repository.git("config", "uploadpack.allowFilter", allows)
        repository.commit(one=f"Old {allows}")
        assert texts(remote(tmp_path, server))["one.md"] == f"Old {allows}".encode()


def test_sha256(tmp_path: Path, server: Server) -> None:
    Repository(tmp_path / "repo", object_format="sha256").commit(one="Long")
    assert texts(local(tmp_path)) == texts(remote(tmp_path, server)) == {"one.md": b"Long"}


def test_a_history_that_was_rewritten_and_a_tag_that_moved(
    tmp_path: Path, repository: Repository, server: Server
) -> None:
    repository.git("tag", "v1")
    before = list(remote(tmp_path, server, ref="v1").list())
    repository.git("checkout", "--quiet", "--orphan", "fresh")
    repository.commit(one="Rewritten")
    repository.git("branch", "-M", "fresh", "main")
    repository.git("tag", "--force", "v1")
    for ref in ("v1", "main"):
        assert texts(remote(tmp_path, server, ref=ref)) == {"one.md": b"Rewritten", "two.md": b"Second"}
    after = {item.path_key: item.fingerprint for item in remote(tmp_path, server, ref="v1").list()}
    assert [item.path_key for item in before if after[item.path_key] != item.fingerprint] == ["one.md"]


def test_a_branch_that_vanished_is_unavailable(tmp_path: Path, repository: Repository, server: Server) -> None:
    repository.git("branch", "docs")
    assert len(list(remote(tmp_path, server, ref="docs").list())) == 2
    repository.git("branch", "-D", "docs")
    with pytest.raises(SourceUnavailable, match=r"no branch, tag or commit docs.*Nothing was deleted"):
        list(remote(tmp_path, server, ref="docs").list())


def test_a_blob_that_left_the_repository_fails_alone(tmp_path: Path, repository: Repository, server: Server) -> None:
    source = remote(tmp_path, server)
    (one, two) = source.list()
    lost = Item("x/lost.md", "lost.md", "text/markdown", None, f"100644-{'12' * 20}")
    results = dict(source.fetch_all([one, lost, two]))
    assert isinstance(results[lost], FetchFailed)
    assert results[one] == Fetched(b"First")
    assert results[two] == Fetched(b"Second")


@pytest.mark.parametrize("cut", [0, 60])
def test_an_answer_that_is_cut_off_is_no_listing(
    tmp_path: Path, repository: Repository, server: Server, cut: int
) -> None:
    server.cut = cut
    with pytest.raises(SourceUnavailable):
        list(remote(tmp_path, server).list())
    server.cut = None
    source = remote(tmp_path, server)
    items = list(source.list())
    server.cut = cut
    assert all(isinstance(result, FetchFailed) for _, result in source.fetch_all(items))
    server.cut = None
    assert texts(remote(tmp_path, server)) == {"one.md": b"First", "two.md": b"Second"}


@pytest.mark.parametrize("damage", ["pack", "objects", "lock", "current"])
def test_a_damaged_mirror_is_mended(tmp_path: Path, repository: Repository, server: Server, damage: str) -> None:
    assert texts(remote(tmp_path, server))
    (mirror,) = [path for path in (tmp_path / "cache/git").rglob("*") if path.name.isdecimal() and path.is_dir()]
    repository.commit(three="Third")
    if damage == "pack":
        for pack in mirror.glob("objects/pack/*.pack"):
            pack.chmod(0o644)
            pack.write_bytes(pack.read_bytes()[:40])
    elif damage == "objects":
        shutil.rmtree(mirror / "objects")
    elif damage == "lock":
        for name in ("shallow.lock", "refs/dataflow/wanted.lock", "objects/pack/tmp_pack_x"):
            (mirror / name).write_bytes(b"")
    else:
        (mirror.parent / "current").write_bytes(b"\xff\0")
    assert texts(remote(tmp_path, server)) == {"one.md": b"First", "two.md": b"Second", "three.md": b"Third"}


def test_a_fetch_after_the_mirror_was_lost(tmp_path: Path, repository: Repository, server: Server) -> None:
    items = list(remote(tmp_path, server).list())
    shutil.rmtree(tmp_path / "cache")
    assert remote(tmp_path, server).fetch(items[0]).content == b"First"
    assert texts(remote(tmp_path, server)) == {"one.md": b"First", "two.md": b"Second"}


def test_a_run_that_was_killed_in_the_middle_is_followed_by_one_that_ends_right(
    tmp_path: Path, repository: Repository, server: Server
) -> None:
    repository.write("large.bin", os.urandom(8_000_000))
    repository.commit()
    code = (
        "import sys; from pathlib import Path; from dataflow_assets.source_settings import GitSource as S;"
        "from dataflow_assets.sources.base import Context; from dataflow_assets.sources.git import GitSource as G;"
        "g = G(S(url=sys.argv[1], allow_hosts=('127.0.0.1',)), Context(Path(sys.argv[2]), Path(sys.argv[2]) / 'cache'));"
        "print(len(list(g.fetch_all(g.list()))))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, f"{server.url}/repo/.git", str(tmp_path)])
    while not server.fetches:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert texts(remote(tmp_path, server)).keys() == {"one.md", "two.md", "large.bin"}


def test_a_repository_that_is_too_large_or_too_slow_is_ended(
    tmp_path: Path, repository: Repository, server: Server
) -> None:
    repository.git("config", "uploadpack.allowFilter", "false")
    repository.write("large.bin", os.urandom(3_000_000))
    repository.commit()
    with pytest.raises(SourceUnavailable, match=r"cannot be read: .*(?:more than 100,000 bytes)"):
        for _ in range(10):  # a repository that came faster than it was looked at is measured by the next call
            list(remote(tmp_path, server, max_repository_bytes=100_000).list())
            repository.commit(one=os.urandom(4).hex())
    server.delay = 5
    with pytest.raises(SourceUnavailable, match=r"longer than 0\.2 seconds"):
        list(remote(tmp_path, server, timeout_seconds=0.2).list())


def test_a_token_comes_from_the_environment_and_is_never_shown(
    tmp_path: Path, repository: Repository, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.password = "x-access-token:s3cret-token"
    with pytest.raises(CredentialError, match=r"source\.token"):
        list(remote(tmp_path, server).list())
    with pytest.raises(CredentialError, match="GIT_TOKEN is not set"):
        list(remote(tmp_path, server, token="GIT_TOKEN").list())
    monkeypatch.setenv("GIT_TOKEN", "wrong-token")
    with pytest.raises(CredentialError, match="GIT_TOKEN") as said:
        list(remote(tmp_path, server, token="GIT_TOKEN").list())
    assert "wrong-token" not in str(said.value)
    monkeypatch.setenv("GIT_TOKEN", "s3cret-token")
    source = remote(tmp_path, server, token="GIT_TOKEN")
    assert texts(source) == {"one.md": b"First", "two.md": b"Second"}
    server.password = "me:s3cret-token"
    url = server.url.replace("//", "//me@") + "/repo/.git"
    assert all("me@" not in item.uri for item in remote(tmp_path, server, url=url, token="GIT_TOKEN").list())
    for path in (tmp_path / "cache").rglob("*"):
        assert not path.is_file() or b"s3cret" not in path.read_bytes()


def test_headers_come_from_the_environment(
    tmp_path: Path, repository: Repository, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONE", "first value")
    monkeypatch.setenv("TWO", "second value")
    assert list(remote(tmp_path, server, headers={"X-One": "ONE", "X-Two": "TWO"}).list())
    assert all((each.get("X-One"), each.get("X-Two")) == ("first value", "second value") for each in server.headers)


def test_a_private_address_is_asked_only_where_it_is_allowed(
    tmp_path: Path, repository: Repository, server: Server
) -> None:
    for url in (f"{server.url}/repo/.git", "ssh://git@localhost/repo", "git@127.0.0.1:repo", "https://[::1]/repo"):
        with pytest.raises(SourceUnavailable, match="allow_hosts"):
            list(remote(tmp_path, server, url=url, allow_hosts=()).list())
    assert server.headers == []


@pytest.mark.parametrize("form", ["ssh://git@127.0.0.1:2222{}", "git@127.0.0.1:{}"])
def test_ssh_asks_nobody_and_goes_to_the_checked_address(
    tmp_path: Path, repository: Repository, server: Server, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    said = tmp_path / "said"
    program = tmp_path / "bin/ssh"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >> {said}\nfor last; do :; done\nexec sh -c "$last"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("DEPLOY_KEY", "/keys/a 'key'")
    url = form.format(tmp_path / "repo/.git")
    assert texts(remote(tmp_path, server, url=url, ssh_key="DEPLOY_KEY")) == {"one.md": b"First", "two.md": b"Second"}
    arguments = said.read_text().splitlines()[0]
    assert arguments.startswith("-F none -i /keys/a 'key' -o IdentitiesOnly=yes -o BatchMode=yes")
    assert "StrictHostKeyChecking=yes" in arguments
    assert "-o HostName=127.0.0.1 -o HostKeyAlias=" in arguments
    assert ("[127.0.0.1]:2222" in arguments) == ("2222" in url)


def test_a_server_that_fails_in_passing_is_asked_again(tmp_path: Path, repository: Repository, server: Server) -> None:
    server.failures = 1
    assert len(list(remote(tmp_path, server, retries=1).list())) == 2


def test_a_redirect_is_not_followed(tmp_path: Path, repository: Repository, server: Server) -> None:
    server.redirect = f"{server.url}/repo/.git/info/refs?service=git-upload-pack"
    with pytest.raises(SourceUnavailable):
        list(remote(tmp_path, server, url=f"{server.url}/moved.git").list())
    assert len(server.headers) == 1


def test_nothing_that_a_repository_or_a_person_configures_is_run(
    tmp_path: Path, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = tmp_path / "ran"
    program = repository.write("program", f"#!/bin/sh\ntouch {ran}\nexit 1\n")
    program.chmod(0o755)
    repository.write(".gitattributes", "* filter=evil diff=evil")
    repository.commit()
    for name in ("core.fsmonitor", "core.sshCommand", "core.pager", "core.alternateRefsCommand", "core.gitProxy"):
        repository.git("config", name, str(program))
    for name in ("filter.evil.smudge", "filter.evil.clean", "diff.evil.textconv", "diff.external", "credential.helper"):
        repository.git("config", name, str(program))
    repository.git("config", "core.hooksPath", str(repository.folder))
    # A blob that is missing, and a remote that would bring it by running a program.
    repository.git("config", "extensions.partialClone", "evil")
    repository.git("config", "core.repositoryFormatVersion", "1")
    repository.git("config", "remote.evil.url", f"ext::{program}")
    repository.git("config", "remote.evil.promisor", "true")
    repository.git("config", "remote.evil.uploadpack", str(program))
    ran.unlink(missing_ok=True)
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(
        f"[core]\n\tfsmonitor = {program}\n\tpager = {program}\n[include]\n\tpath = nowhere\n"
    )
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", str(program))
    monkeypatch.setenv("GIT_SSH_COMMAND", str(program))
    blob = repository.git("rev-parse", "HEAD:one.md")
    source = local(tmp_path)
    items = {item.path_key: item for item in source.list()}
    (repository.folder / ".git/objects" / blob[:2] / blob[2:]).unlink()
    assert source.fetch(items["two.md"]).content == b"Second"
    with pytest.raises(FetchFailed):
        source.fetch(items["one.md"])
    assert not ran.exists()


def test_a_replacement_stands_in_for_nothing_and_damage_is_seen(tmp_path: Path, repository: Repository) -> None:
    one, two = repository.git("rev-parse", "HEAD:one.md"), repository.git("rev-parse", "HEAD:two.md")
    repository.git("replace", one, two)
    assert texts(local(tmp_path))["one.md"] == b"First"
    objects = repository.folder / ".git/objects"
    damaged = objects / one[:2] / one[2:]
    damaged.chmod(0o644)
    shutil.copyfile(objects / two[:2] / two[2:], damaged)
    results = {item.path_key: result for item, result in local(tmp_path).fetch_all(local(tmp_path).list())}
    assert isinstance(results["one.md"], FetchFailed)


def test_without_git_it_says_so(tmp_path: Path, repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceUnavailable, match="git is not installed"):
        list(local(tmp_path).list())


@pytest.mark.parametrize(
    "settings",
    [
        {"url": "--upload-pack=evil"}, {"url": "ext::sh -c evil"}, {"url": "https://user:secret@host/repo"},
        {"url": "git://host/repo"}, {"url": "ftp://host/repo"}, {"url": "https:///repo"}, {"url": "ssh://-oProxyCommand=x/y"},
        {"url": "https://host:99999/x"}, {"url": "https://host/x?y"}, {"url": "a\nb"}, {"url": "~/repo"},
        {"url": "fd::17"}, {"url": "ssh://-l@host/x"},
        {"url": "r", "ref": "--evil"}, {"url": "r", "ref": "a..b"}, {"url": "r", "ref": "a:b"}, {"url": "r", "ref": "main~1"},
        {"url": "r", "ref": "a b"}, {"url": "r", "ref": "@{-1}"}, {"url": "r", "ref": "x\n"}, {"url": "r", "folder": "../x"},
        {"url": "r", "folder": "/x"},
    ],
)  # fmt: skip
def test_settings_that_are_refused(settings: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        GitSettings.model_validate(settings)


@pytest.mark.parametrize(
    "url",
    ["https://host/a/b.git", "ssh://git@host:2222/x", "git@host:a/b.git", "../repo", "https://[2001:db8::1]:8443/x"],
)
def test_settings_that_are_taken(url: str) -> None:
    assert GitSettings(url=url, ref="release/1.2", folder="docs/en").url == url
