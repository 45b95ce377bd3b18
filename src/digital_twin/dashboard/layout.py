"""The parts that every page is made of: a picture with its finding and its numbers, problems with a way on."""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

import pandas as pd
import streamlit as st

from digital_twin.client import SignInNeeded
from digital_twin.dashboard.frames import Document
from digital_twin.dashboard.guard import LOGIN_PATH, session_key
from digital_twin.dashboard.session import SESSIONS
from digital_twin.dashboard.visit import Visit
from digital_twin.dashboard.wording import sentence
from digital_twin.domain import errors

T = TypeVar("T")

KEPT_FOR_S = 300
TABLE_HEIGHT = 320
IN_A_ROW = 3

Small = tuple[str, Any]
"""A caption and the picture under it."""


def heading(visit: Visit, title: str, question: str) -> None:
    """The page's name and the question that it answers."""
    st.title(title)
    st.caption(f"{visit.name} · {question} · Times in {visit.zone_name}")


def picture(title: str, finding: str, chart: Any, table: pd.DataFrame, *, description: str) -> None:
    """A chart with its sentence, an alternative text, and its numbers as a table."""
    st.subheader(title, anchor=False)
    st.markdown(plain(finding))
    st.altair_chart(chart, width="stretch", theme=None, alt=f"{description} {finding}")
    numbers(title, table)


def small_multiples(title: str, finding: str, pictures: Sequence[Small], table: pd.DataFrame) -> None:
    """Small pictures of one kind side by side under one sentence, with their numbers as one table."""
    st.subheader(title, anchor=False)
    st.markdown(plain(finding))
    for first in range(0, len(pictures), IN_A_ROW):
        row = zip(st.columns(IN_A_ROW), pictures[first : first + IN_A_ROW], strict=False)
        for column, (caption, chart) in row:
            column.markdown(f"**{plain(caption)}**")
            column.altair_chart(chart, width="stretch", theme=None, alt=f"{title}: {caption}.")
    if len(table):
        numbers(title, table)


def numbers(title: str, table: pd.DataFrame) -> None:
    """A table that opens on demand."""
    with st.expander(f"Show the numbers: {title}"):
        st.table(table, hide_index=True, border="horizontal", height=TABLE_HEIGHT if len(table) > 8 else "content")


def plain(text: str) -> str:
    """Text whose signs mean nothing to Markdown."""
    for sign in "\\`*_{}[]<>#$~:|":
        text = text.replace(sign, f"\\{sign}")
    return text


def provenance(document: Document) -> None:
    """What an answer rests on: data, models, and what had to be assumed."""
    told = document.get("provenance") or {}
    assumptions = told.get("assumptions") or []
    label = f"What this rests on ({len(assumptions)} assumed)" if assumptions else "What this rests on"
    with st.expander(label):
        for text in assumptions:
            st.markdown(f"- Assumed: {plain(text)}")
        for text in told.get("notes") or []:
            st.markdown(f"- {plain(sentence(text))}")
        for name, source in (told.get("sources") or {}).items():
            st.markdown(f"- {plain(name)}: {plain(source)}")
        if told.get("data_start"):
            st.markdown(f"- Data from {told['data_start'][:10]} to {told['data_end'][:10]}")
        st.markdown(f"- Known as of {plain(str(told.get('as_of', 'now')))}; version {told.get('code_version', '')}")


def asked(visit: Visit, name: str, ask: Callable[..., T], **request: Any) -> T:
    """The API's answer, kept for a few minutes for this person alone, so that leafing through pages is quick."""

    @st.cache_data(ttl=KEPT_FOR_S, scope="session", show_spinner=False, max_entries=32)
    def kept(community_id: str, name: str, request: Mapping[str, Any]) -> T:
        return ask(community_id, **request)

    return kept(visit.community_id, name, request)


def newest_results(visit: Visit, kind: str, most: int = 20) -> list[Document]:
    """The newest stored results of a kind, as the list shows them."""
    looked_at = islice(visit.client.results(visit.community_id), 10 * most)
    return list(islice((one for one in looked_at if one["kind"] == kind), most))


@contextmanager
def told_problems() -> Generator[None, None, None]:
    """What goes wrong inside is one sentence and a way on; nothing else of the page is lost."""
    try:
        yield
    except SignInNeeded:
        SESSIONS.close(session_key(st.context.cookies))
        ask_to_sign_in()
    except errors.NotAllowed as error:
        st.info(plain(sentence(error.message)), icon=":material/lock:")
    except errors.TwinError as error:
        tell(error)


def tell(error: errors.TwinError) -> None:
    """The problem's own sentence, where it lies, and another try."""
    st.error(plain(sentence(error.message)), icon=":material/error:")
    for one in list(error.facts.get("errors", []))[:5]:
        if one.get("detail") and one["detail"] not in error.message:
            st.markdown(f"- {plain(str(one['detail']))}")
    st.button("Try again", icon=":material/refresh:", on_click=st.cache_data.clear)


def ask_to_sign_in() -> None:
    """The session is over."""
    st.warning("Your session has ended. Log in again to go on.", icon=":material/logout:")
    st.html(f'<a href="{LOGIN_PATH}" target="_self">Log in</a>')
    st.stop()


def only_looking(what: str) -> None:
    """Why there is no button."""
    st.info(f"You may look at this community but not {what}. Ask an operator for the right.", icon=":material/lock:")
