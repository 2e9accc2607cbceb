"""
Clients that people have, each through the gateway's own process.
"""

import os

# LiteLLM would fetch a list of prices, LangChain tell of its runs.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
os.environ["LANGSMITH_TRACING"] = "false"
