"""Who is meant: every spelling of a provider seen in traffic, and the hosts that give a provider away.

The values are the provider ids of the catalogue, plus some that have no list prices. Spellings are compared in lower
case, with "-", " " and "_" taken as equal. Sources: the conventions' `gen_ai.provider.name` and older `gen_ai.system`
values, OpenInference's `llm.provider`, LiteLLM's prefixes, Vercel AI SDK's and pydantic-ai's provider names.
"""

from __future__ import annotations

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Software people run themselves: whatever it serves has no list price.
SELF_HOSTED = _words(
    "ollama vllm lm_studio lmstudio llama.cpp llamacpp llama_cpp localai sglang tgi text_generation_inference "
    "xinference hosted_vllm openllm ctransformers gpt4all local transformers mlx triton oobabooga koboldcpp "
    "petals "
)

#: Not a provider: libraries, gateways and wire formats that say nothing about who is billed.
GENERIC = _words(
    "litellm litellm_proxy langchain llama_index llamaindex openai_compatible openai_like custom_openai custom "
    "gateway portkey helicone vercel ai_gateway kong bifrost unknown _other other none "
)

_SPELLINGS: dict[str, str] = {
    "openai": "openai openai_chat openai_responses text_completion_openai chatopenai",
    "anthropic": "anthropic anthropic_text chatanthropic claude",
    "azure": (
        "azure azure.ai.openai az.ai.openai azure_openai azureopenai azure.ai.inference az.ai.inference azure_ai "
        "azure_ai_inference azure_ai_foundry azure.openai azure_text azurechatopenai azure.ai.foundry "
        "microsoft.foundry azure_foundry"
    ),
    "aws": (
        "aws.bedrock aws_bedrock bedrock amazon_bedrock aws amazon bedrock_converse bedrock_runtime chatbedrock "
        "amazon.bedrock chatbedrockconverse"
    ),
    "google": (
        "gcp.gemini gcp.gen_ai gcp.vertex_ai google gemini vertex_ai vertexai vertex google_genai google_vertex "
        "google_gla google.generative_ai google_vertexai google.vertex google_generative_ai google_ai "
        "google_ai_studio vertex_ai_beta googleai vertex_ai.anthropic google.vertex.anthropic palm gcp google_palm "
        "chatvertexai chatgooglegenerativeai gcp_vertex_ai gcp_gemini vertexai.anthropic google_anthropic_vertex"
    ),
    "mistral": "mistral mistral_ai mistralai codestral",
    "x-ai": "x_ai xai x.ai grok",
    "groq": "groq chatgroq",
    "cohere": "cohere cohere_chat",
    "deepseek": "deepseek",
    "perplexity": "perplexity perplexity_ai",
    "together": "together together_ai togetherai",
    "fireworks": "fireworks fireworks_ai fireworks.ai",
    "openrouter": "openrouter open_router",
    "cerebras": "cerebras",
    "moonshotai": "moonshot_ai moonshot moonshotai kimi",
    "voyageai": "voyage voyageai voyage_ai",
    "novita": "novita novita_ai",
    "avian": "avian",
    "arcee": "arcee arcee_ai",
    "baseten": "baseten",
    "cloudflare": "cloudflare workers_ai cloudflare_workers_ai",
    "cursor": "cursor",
    "databricks": "databricks",
    "doubleword": "doubleword",
    "elevenlabs": "elevenlabs eleven_labs",
    "github-copilot": "github_copilot copilot githubcopilot",
    "meta": "meta meta_llama_api",
    "minimax": "minimax",
    "modal": "modal",
    "ovhcloud": "ovhcloud ovh ovh_cloud",
    "quicksilverpro": "quicksilverpro",
    "typesafe": "typesafe",
    "zai": "zai z_ai z.ai",
    "zhipuai": "zhipuai zhipu zhipu_ai bigmodel",
    # Known, but nobody's price list here has them; a user overlay may.
    "ibm": "ibm.watsonx.ai watsonx watsonx_ai ibm",
    "nvidia": "nvidia nvidia_nim nim",
    "replicate": "replicate",
    "alibaba": "alibaba dashscope qwen alibaba_cloud bailian",
    "sambanova": "sambanova",
    "nebius": "nebius",
    "hyperbolic": "hyperbolic",
    "deepinfra": "deepinfra",
    "ai21": "ai21",
    "aleph_alpha": "aleph_alpha alephalpha",
    "snowflake": "snowflake",
    "stability": "stability stability_ai",
    "sagemaker": "aws.sagemaker sagemaker",
    "huggingface": "huggingface hugging_face huggingface_hub",
    "anyscale": "anyscale",
    "jina": "jina jina_ai",
    "oci": "oci oracle",
    "volcengine": "volcengine doubao ark",
    "tencent": "tencent hunyuan",
}
#: What the Vercel AI SDK and others append to a provider's name.
_OPERATION = re.compile(r"\.(?:chat|responses|messages|completions?|embeddings?|image|speech|transcription)$")


def _normal(spelling: str) -> str:
    return _OPERATION.sub("", spelling.strip().lower()).replace("-", "_").replace(" ", "_")


_PROVIDER_OF_SPELLING: dict[str, str] = {
    _normal(spelling): provider for provider, spellings in _SPELLINGS.items() for spelling in spellings.split()
}

#: Host -> provider; a host that ends in "." + key belongs to the provider too.
_PROVIDER_OF_HOST: dict[str, str] = {
    "api.openai.com": "openai",
    "api.anthropic.com": "anthropic",
    "openai.azure.com": "azure",
    "azure-api.net": "azure",
    "cognitiveservices.azure.com": "azure",
    "services.ai.azure.com": "azure",
    "models.ai.azure.com": "azure",
    "models.inference.ai.azure.com": "azure",
    "generativelanguage.googleapis.com": "google",
    "aiplatform.googleapis.com": "google",
    "api.mistral.ai": "mistral",
    "codestral.mistral.ai": "mistral",
    "api.x.ai": "x-ai",
    "api.groq.com": "groq",
    "api.cohere.com": "cohere",
    "api.cohere.ai": "cohere",
    "api.deepseek.com": "deepseek",
    "api.perplexity.ai": "perplexity",
    "api.together.xyz": "together",
    "api.together.ai": "together",
    "api.fireworks.ai": "fireworks",
    "openrouter.ai": "openrouter",
    "api.cerebras.ai": "cerebras",
    "api.moonshot.ai": "moonshotai",
    "api.moonshot.cn": "moonshotai",
    "api.voyageai.com": "voyageai",
    "api.novita.ai": "novita",
    "api.avian.io": "avian",
    "api.arcee.ai": "arcee",
    "inference.baseten.co": "baseten",
    "api.elevenlabs.io": "elevenlabs",
    "api.githubcopilot.com": "github-copilot",
    "api.meta.ai": "meta",
    "api.minimax.io": "minimax",
    "api.minimax.com": "minimax",
    "api.minimaxi.com": "minimax",
    "oai.endpoints.kepler.ai.cloud.ovh.net": "ovhcloud",
    "api.z.ai": "zai",
    "open.bigmodel.cn": "zhipuai",
    "cloud.databricks.com": "databricks",
    "azuredatabricks.net": "databricks",
    "gcp.databricks.com": "databricks",
    "api.sambanova.ai": "sambanova",
    "api.deepinfra.com": "deepinfra",
    "api.studio.nebius.ai": "nebius",
    "api.hyperbolic.xyz": "hyperbolic",
    "integrate.api.nvidia.com": "nvidia",
    "dashscope.aliyuncs.com": "alibaba",
    "dashscope-intl.aliyuncs.com": "alibaba",
    "api.replicate.com": "replicate",
    "api.ai21.com": "ai21",
    "router.huggingface.co": "huggingface",
    "api-inference.huggingface.co": "huggingface",
}

#: Makers whose own API is meant when only a model is named, in the order they are asked.
MAKERS = ("openai", "anthropic", "google", "mistral", "x-ai", "deepseek", "cohere", "moonshotai", "voyageai")


def provider_of_spelling(spelling: str) -> str | None:
    """The provider id for a spelling; None when the spelling is not known or names no provider."""
    return _PROVIDER_OF_SPELLING.get(_normal(spelling))


def is_self_hosted(spelling: str) -> bool:
    """Whether the spelling names software that people run themselves."""
    return _normal(spelling) in SELF_HOSTED


def is_generic(spelling: str) -> bool:
    """Whether the spelling names a library or a gateway, so that the model decides who is billed."""
    return _normal(spelling) in GENERIC


def provider_of_host(address: str) -> str | None:
    """The provider a `server.address` belongs to; None for any other host. Takes URLs and ports in its stride."""
    host = address.lower().split("://")[-1].split("/")[0].rsplit("@", maxsplit=1)[-1].split(":")[0].rstrip(".")
    if host.endswith(("-aiplatform.googleapis.com", ".rep.googleapis.com")):
        return "google"
    if host.startswith("bedrock") and host.endswith((".amazonaws.com", ".amazonaws.com.cn", ".api.aws")):
        return "aws"
    while host:
        if host in _PROVIDER_OF_HOST:
            return _PROVIDER_OF_HOST[host]
        host = host.partition(".")[2]
    return None
