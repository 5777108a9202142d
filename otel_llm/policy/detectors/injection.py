"""Prompt injection and jailbreaks by their usual words: a signal to warn about, never a proof.

Phrases have weights; a text whose phrases sum up to the threshold is a finding, from the first to the last of them.
docs/redaction.md has the measured rates: well-known jailbreak prompts are found, a sentence hidden in a web page often
is not. Where it matters, look at what flows where (untrusted content, then a tool that writes) instead of at words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from otel_llm.policy.detectors.gate import Cue, Engine, Gate
from otel_llm.policy.findings import Finding

PROMPT_INJECTION: Final = "PROMPT_INJECTION"
JAILBREAK: Final = "JAILBREAK"

_GAP: Final = r"[^.!?\n]{0,40}?"
_RULES: Final = (
    r"(?:instructions?|prompts?|rules?|guidelines?|directions?|directives?|commands?|polic(?:y|ies)|training|context)"
)
_BEFORE: Final = (
    r"(?:previous|prior|above|earlier|preceding|former|existing|original|initial|your|all|any|these|those|the system)"
)

# Type, weight, the words without which it cannot match, and the phrase.
_PHRASES: Final[tuple[tuple[str, int, tuple[str, ...], str], ...]] = (
    (PROMPT_INJECTION, 3, ("ignore", "disregard", "forget", "override", "bypass", "neglect"),
     rf"\b(?:ignore|disregard|forget|override|bypass|neglect)\b{_GAP}\b{_BEFORE}\b{_GAP}\b{_RULES}\b"),
    (PROMPT_INJECTION, 2, ("forget everything", "forget all"), r"\bforget (?:everything|all)\b"),
    (PROMPT_INJECTION, 3, ("system prompt", "initial prompt", "initial instructions", "starting instructions", "hidden prompt", "your instructions",
                           "your prompt", "your system"),
     (r"\b(?:reveal|show|see|print|display|output|repeat|tell|give|share|leak|disclose|dump|encode|translate|what (?:is|are|were|was))\b"
     rf"{_GAP}\b(?:system|initial|starting|hidden|original|your)\b{_GAP}\b(?:prompts?|instructions?|configuration|messages?)\b")),
    (PROMPT_INJECTION, 2, ("text above", "words above", "everything above", "above this line", "beginning of this"),
     r"\b(?:repeat|output|print|copy|write)\b" + _GAP + r"\b(?:above|beginning of this)\b"),
    (PROMPT_INJECTION, 3, ("new instruction", "new task", "updated instruction", "real instruction", "important instruction"),
     r"\b(?:new|updated|real|important) (?:instructions?|tasks?)\b ?(?::|are|is|for you)"),
    (PROMPT_INJECTION, 3, ("<|im_start|>", "[inst]", "<<sys>>", "### instruction", "<|system|>", "begin system", "[system"),
     r"<\|im_start\|>|\[/?INST\]|<</?SYS>>|### ?Instruction|<\|system\|>|\[?BEGIN SYSTEM|\[system[\](]"),
    (PROMPT_INJECTION, 2, ("do not tell", "don't tell", "do not mention", "without telling", "don't mention"),
     r"\b(?:do not|don't|without) (?:tell|mention|telling|mentioning)\b" + _GAP + r"\b(?:user|anyone|human|this|him|her)\b"),
    (PROMPT_INJECTION, 2, ("maintenance mode", "debug mode", "admin mode", "sudo mode", "root access", "diagnostic mode"),
     r"\b(?:maintenance|debug(?:ging)?|admin|sudo|diagnostic|root) (?:mode|access)\b"),
    (JAILBREAK, 4, ("do anything now", "strive to avoid norms"), r"\bdo anything now\b|\bstrive to avoid norms\b"),
    (JAILBREAK, 2, ("dan", "stan", "dude", "aim", "kevin", "jailbreak", "evilbot", "unrestricted"),
     r"\b(?:DAN|STAN|DUDE|AIM|jailbreak(?:ed|ing)?|jail[- ]?broken|EvilBOT|unrestricted (?:ai|assistant|mode|model))\b"),
    (JAILBREAK, 2, ("developer mode", "god mode", "dev mode", "opposite mode", "unfiltered"),
     r"\b(?:developer|god|dev|opposite|chaos) mode\b|\bunfiltered\b"),
    (JAILBREAK, 2, ("pretend", "act as", "immerse", "roleplay", "role-play", "role play", "play the role"),
     r"\b(?:pretend|act as|immerse yourself|role[- ]?play|play the role)\b" + _GAP +
     r"\b(?:you|an? |the |to be|another|any|as|of)\b"),
    (JAILBREAK, 2, ("no restrictions", "without restrictions", "no limitations", "no ethical", "no rules", "no moral",
                    "without any restrictions", "no longer bound", "not bound", "without limitations", "any restrictions",
                    "broken free", "free from", "free of", "without any limitations", "no content policy"),
     r"\b(?:no|without(?: any)?|any|free (?:from|of)(?: all| any)?|not bound|no longer bound|broken free)\b" + _GAP +
     r"\b(?:restrictions?|limitations?|ethic\w*|moral\w*|rules?|filters?|guidelines?|confines|polic(?:y|ies)|censorship)\b"),
    (JAILBREAK, 2, ("content polic", "openai polic", "openai's", "safety guideline", "programmed to", "openai"),
     r"\b(?:content|openai(?:'s)?|safety)\b" + _GAP + r"\b(?:polic(?:y|ies)|guidelines?|norms|programming)\b"),
    (JAILBREAK, 2, ("stay in character", "break character", "in character", "out of character"),
     r"\b(?:stay|remain|break(?:ing)?|keep|go(?:ing)? out of) (?:in )?character\b"),
    (JAILBREAK, 2, ("never refuse", "cannot refuse", "can't refuse", "not refuse", "never say no", "must always answer",
                    "as an ai language model", "i can't do something", "i cannot"),
     r"\b(?:never|cannot|can't|must not|will not|not) (?:refuse|say no|decline)\b"
     r"|\b(?:never|not|don't|none of)\b" + _GAP + r"\bas an ai(?: language model)?\b|\bnone of your responses\b"),
    (JAILBREAK, 2, ("illegal", "unethical", "immoral", "harmful"),
     r"\b(?:even if|regardless|anything|any|including|can)\b" + _GAP + r"\b(?:illegal|unethical|immoral|harmful)\b"),
)  # fmt: skip

THRESHOLD: Final = 3
TYPES: Final = frozenset({PROMPT_INJECTION, JAILBREAK})


class Injection:
    """Looks for texts that try to take over.

    Args:
        threshold: the sum of weights that makes a finding; 3 finds most, 4 hardly ever errs.
        engine: of the gate.
    """

    name = "injection"
    types = TYPES

    __slots__ = ("_phrases", "_threshold", "gate")

    def __init__(self, threshold: int = THRESHOLD, engine: Engine | None = None) -> None:
        self._threshold = threshold
        self._phrases = [(type_, weight, re.compile(phrase, re.IGNORECASE)) for type_, weight, _, phrase in _PHRASES]
        self.gate = Gate([Cue(words) for _, _, words, _ in _PHRASES], engine)

    def find(self, text: str) -> tuple[Finding, ...]:
        """One finding of the type that weighs most, or none."""
        return self.find_among(text, self.gate(text))

    def find_among(self, text: str, passed: Sequence[int]) -> tuple[Finding, ...]:
        """The same, by those phrases whose cues passed the gate."""
        weights: dict[str, int] = {}
        places: list[tuple[int, int]] = []
        for position in passed:
            type_, weight, phrase = self._phrases[position]
            match = phrase.search(text)
            if match is not None:
                weights[type_] = weights.get(type_, 0) + weight
                places.append(match.span())
        total = sum(weights.values())
        if total < self._threshold:
            return ()
        start, end = min(start for start, _ in places), max(end for _, end in places)
        heaviest = max(weights, key=lambda type_: weights[type_])
        return (Finding(heaviest, start, end, self.name, min(0.95, 0.3 + total * 0.1)),)
