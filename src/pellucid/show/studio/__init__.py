"""Studio: a local app to play with networks: draw, patterns, dream, train, atlas.

Gradio reads its environment when it is imported, so this is where its telemetry is turned off.
"""

import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
