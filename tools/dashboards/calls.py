"""What the dashboards about calls of models have in common: their variables, and what these select."""

from __future__ import annotations

from typing import Final

from tools.dashboards.model import Variable

_CALLS: Final = "gen_ai_client_inference_duration_seconds_count"
CALL_VARIABLES: Final = (
    Variable("service", "Service", _CALLS, "service_name"),
    Variable("environment", "Environment", _CALLS, "deployment_environment_name"),
    Variable("provider", "Provider", _CALLS, "gen_ai_provider_name"),
    Variable("model", "Model", _CALLS, "gen_ai_request_model"),
)
CALL_SCOPE: Final = (
    'service_name=~"$service", deployment_environment_name=~"$environment", '
    'gen_ai_provider_name=~"$provider", gen_ai_request_model=~"$model"'
)
