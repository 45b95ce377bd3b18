"""Runs as pages show them: the newest of a kind, and how far one is until it ends."""

from itertools import islice

import streamlit as st

from digital_twin.dashboard.clock import local_text, parsed
from digital_twin.dashboard.frames import Document
from digital_twin.dashboard.layout import plain, told_problems
from digital_twin.dashboard.visit import Visit
from digital_twin.dashboard.wording import percent

UNFINISHED = ("queued", "running")
REFRESH_S = 1
LOOKED_AT = 100


def runs_of(visit: Visit, kind: str) -> list[Document]:
    """Those among the newest Runs of the community that are of this kind, newest first."""
    return [one for one in islice(visit.client.runs(visit.community_id), LOOKED_AT) if one["kind"] == kind]


def succeeded(runs: list[Document]) -> list[Document]:
    """Those that have a result."""
    return [one for one in runs if one["state"] == "succeeded"]


def tell_newest(visit: Visit, runs: list[Document], doing: str) -> None:
    """How far the newest Run is, or why it failed; `doing` is what it does, as in "Simulating"."""
    if runs and runs[0]["state"] in UNFINISHED:
        _follow(visit, runs[0], doing)
    elif runs and runs[0]["state"] == "failed":
        st.error(plain(f"{doing} failed: {runs[0]['problem']['detail']}."), icon=":material/error:")


def _follow(visit: Visit, run: Document, doing: str) -> None:
    """Asked again each second; leaving the page does not end the Run."""

    @st.fragment(run_every=REFRESH_S)
    def progress() -> None:
        with told_problems():
            told = visit.client.run(run["run_id"])
            if told["state"] not in UNFINISHED:
                st.rerun()
            done, total = told["progress"]["done"], max(1, told["progress"]["total"])
            words = "Waiting for a worker" if told["state"] == "queued" else f"{doing}: {percent(done / total)}"
            st.progress(min(1.0, done / total), text=words)
            if visit.may_run and st.button("Cancel", key=f"cancel-{run['kind']}"):
                visit.client.cancel(run["run_id"])

    progress()


def choose(visit: Visit, runs: list[Document], label: str, doing: str) -> str | None:
    """The Run that is looked at: the newest until another is chosen; None where there is none."""
    titles = {one["run_id"]: f"{doing} {local_text(parsed(one['created_at']), visit.zone)}" for one in runs}
    if not titles:
        return None
    newest, kind = next(iter(titles)), runs[0]["kind"]
    if st.session_state.get(f"newest-{kind}") != newest:
        st.session_state[f"newest-{kind}"] = st.session_state[f"chosen-{kind}"] = newest
    return st.selectbox(label, list(titles), format_func=titles.__getitem__, key=f"chosen-{kind}")
