"""Scripts that come from installed packages rather than from a content-delivery network."""

from pathlib import Path
from typing import Any

from django.contrib.staticfiles.finders import BaseFinder
from django.core.files.storage import FileSystemStorage
from django.utils._os import safe_join


class PlotlyFinder(BaseFinder):
    """Finds `plotly/plotly.min.js` in the installed plotly package, so that script and package have one version."""

    NAME = "plotly.min.js"
    PREFIX = "plotly"

    def __init__(self, app_names: Any = None, *args: Any, **kwargs: Any) -> None:
        import plotly

        self.storage = FileSystemStorage(location=Path(plotly.__file__).parent / "package_data")
        self.storage.prefix = self.PREFIX  # type: ignore[attr-defined]  # what collectstatic puts before the name

    def find(self, path: str, find_all: bool = False) -> Any:
        """Absolute path of the script, or an empty list when another file is asked for."""
        if path != f"{self.PREFIX}/{self.NAME}":
            return []
        bundled = safe_join(self.storage.location, self.NAME)
        return [bundled] if find_all else bundled

    def list(self, ignore_patterns: Any) -> Any:
        """The one file, for collectstatic."""
        yield self.NAME, self.storage
