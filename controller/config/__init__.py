"""Configuration: from flags, environment and file to checked settings, and from settings to a file (contract A).

`load` is the way in, `render_config(default_config())` the way out.
"""

from controller.config.load import ConfigError, Loaded, load
from controller.config.render import default_config, render_config

__all__ = ["ConfigError", "Loaded", "default_config", "load", "render_config"]
