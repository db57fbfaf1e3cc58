"""Doctor: who decides for the agents, and does it call tools?"""

from __future__ import annotations

from collections.abc import Iterator

from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.tools import tool

from serm.agents.cut_off import cut_off
from serm.agents.policy import decider
from serm.cli.checks import Finding, Patient, Status
from serm.cli.format import short
from serm.core.discretion import discreet
from serm.core.errors import SermError
from serm.llm.spec import parse_backend

FALL_BACK = "Without it agents fall back to their rules; `agents.policy: rules` says so from the start."


@tool
def report(word: str) -> str:
    """Report one word."""
    return word


def check_agents(patient: Patient) -> Iterator[Finding]:
    """One call with one tool; not of a script, whose turns are for the run."""
    decide = decider(patient.settings, "doctor")
    if decide is None:
        yield Finding("agents", Status.PASS, "agents follow their rules; no LLM is needed.")
        return
    if parse_backend(decide.label).kind == "scripted":
        yield Finding("agents", Status.PASS, f"{decide.label} can be read; it plays given tool calls.")
        return
    messages: list[BaseMessage] = [HumanMessage("Call the tool `report` with the word ready.")]
    try:
        answer = decide(messages, [report])
    except SermError as error:  # it says itself what to do
        remedy = " ".join(filter(None, [error.remedy, FALL_BACK]))
        yield Finding("agents", Status.FAIL, f"{decide.label} does not answer: {error.message}", remedy)
        return
    except Exception as error:  # whatever a provider's client raises
        said = short(discreet(f"{type(error).__name__}: {error}"), 200)
        yield Finding("agents", Status.FAIL, f"{decide.label} does not answer: {said}", FALL_BACK)
        return
    if answer.tool_calls:
        yield Finding("agents", Status.PASS, f"{decide.label} decides for the agents; it calls tools.")
    else:
        cut = cut_off(answer)
        why = f": its answer was {cut}" if cut else ""
        silent = f"{decide.label} answers without calling a tool{why}."
        yield Finding("agents", Status.FAIL, silent, FALL_BACK)
