"""The signals, one module for each family; docs/quality.md says what each means and how often it is right.

exchange.py       question, answer, tool calls and history, read from messages
checks.py         the pass over one exchange
traces.py         what has to be remembered of a trace: documents, tool calls, failures
completeness.py   empty, truncated
refusal.py        refusal, and hedged or clarifying answers
repetition.py     repetition
json_schema.py    does a value break a schema, within bounds
tool_calls.py     unknown_tool, invalid_tool_arguments
language.py       language_mismatch
leakage.py        prompt_leak
support.py        lexical_support, query_coverage
retrieval.py      stale_retrieval, missing_citation
friction.py       user_friction
loops.py          agent_loop
outliers.py       slow, slow_output
"""
