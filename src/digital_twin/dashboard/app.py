"""The dashboard's script: who is signed in, which community, which page. Streamlit runs it for every interaction."""

from collections.abc import Callable
from html import escape
from pathlib import Path

import streamlit as st

from digital_twin.dashboard.frames import Document
from digital_twin.dashboard.guard import LOGOUT_PATH, session_key
from digital_twin.dashboard.layout import ask_to_sign_in, told_problems
from digital_twin.dashboard.pages import dispatch, forecast, models, now, patterns, scenarios, tariff
from digital_twin.dashboard.session import SESSIONS, Session
from digital_twin.dashboard.visit import Visit, bound_member, display_name, may_run

Page = tuple[str, str, str, Callable[[Visit], None]]
PAGES: tuple[Page, ...] = (
    ("Now", ":material/sensors:", "now", now.show),
    ("Forecast", ":material/query_stats:", "forecast", forecast.show),
    ("Model lab", ":material/biotech:", "models", models.show),
    ("Patterns", ":material/pattern:", "patterns", patterns.show),
    ("Dispatch", ":material/bolt:", "dispatch", dispatch.show),
    ("Tariff", ":material/sell:", "tariff", tariff.show),
    ("Scenarios", ":material/science:", "scenarios", scenarios.show),
)

ICON, LOGO = (str(Path(__file__).with_name(name)) for name in ("icon.svg", "logo.svg"))

STYLE = """<style>
  [data-testid="stMainBlockContainer"] { max-width: 1180px; padding-top: 2.5rem; padding-bottom: 3rem; }
  [data-testid="stMain"] h1 { font-size: 2rem; padding-bottom: 0; }
  [data-testid="stMain"] h2 { font-size: 1.65rem; padding-top: 2rem; padding-bottom: .4rem; }
  [data-testid="stMain"] h3 { font-size: 1.35rem; padding-top: 1.2rem; }
  @media (max-width: 640px) {
    [data-testid="stHorizontalBlock"]:has([data-testid="stMetric"]) > [data-testid="stColumn"] {
      min-width: calc(50% - 1rem); flex: 1 1 calc(50% - 1rem); }
  }
  .sign-out button { border: 1px solid #74857e; border-radius: 8px; background: #fff; color: #1c2a26;
                     font: inherit; padding: .35rem .9rem; cursor: pointer; }
  .sign-out button:focus-visible { outline: 3px solid #56b4e9; }
</style>"""


def main() -> None:
    """The whole page."""
    st.set_page_config(page_title="Digital twin", page_icon=ICON, layout="wide")
    st.logo(LOGO, size="large")
    st.html(STYLE)
    session = _signed_in()
    with told_problems():
        me = session.client.me()
        communities = sorted(session.client.communities(), key=display_name)
        with st.sidebar:
            community = _choose(communities)
        visit = None
        if community is not None:
            community_id = community["community_id"]
            visit = Visit(session.client, community, may_run(me, community_id), bound_member(me, community_id))
        page = st.navigation([_page(visit, *one) for one in PAGES])
        with st.sidebar:
            _identity(me, visit)
        page.run()


def _signed_in() -> Session:
    session = SESSIONS.find(session_key(st.context.cookies))
    if session is None:
        st.session_state.clear()
        ask_to_sign_in()
        raise AssertionError  # the script has stopped
    if st.session_state.setdefault("session_key", session.key) != session.key:  # somebody else came back to this tab
        st.session_state.clear()
        st.cache_data.clear()
        st.rerun()
    return session


def _choose(communities: list[Document]) -> Document | None:
    by_id = {one["community_id"]: one for one in communities}
    if not by_id:
        return None
    chosen = st.selectbox(
        "Community", list(by_id), format_func=lambda one: display_name(by_id[one]), key="community", bind="query-params"
    )
    return by_id.get(chosen or "")


def _page(visit: Visit | None, title: str, icon: str, path: str, show: Callable[[Visit], None]) -> "st.Page":
    def run() -> None:
        if visit is None:
            st.title(title)
            st.info(
                "You are in no community yet. Create one with its eight numbers (POST /communities), "
                "or ask an operator to give you a membership.",
                icon=":material/group_add:",
            )
            return
        with told_problems():
            show(visit)

    return st.Page(run, title=title, icon=icon, url_path=path, default=path == PAGES[0][2])


def _identity(me: Document, visit: Visit | None) -> None:
    role = "administrator" if me["role"] == "admin" else "operator" if visit and visit.may_run else "viewer"
    st.html(
        f"<p>Signed in as <strong>{escape(me['username'])}</strong><br>{role}</p>"
        f'<form class="sign-out" method="post" action="{LOGOUT_PATH}"><button type="submit">Log out</button></form>'
    )


main()
