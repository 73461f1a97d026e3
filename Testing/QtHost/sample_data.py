"""A stand-in for Slicer's module SampleData: registering, with the signatures and checks of Slicer 5.12."""

# ruff: noqa: N802, N803, N815

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

FIELDS = ("uris", "fileNames", "nodeNames", "checksums", "loadFiles", "loadFileTypes")


class SampleData(ModuleType):
    """The module.

    Attributes:
        sources: what is registered, by category.
        answer: what a download gives, by the sample's name.
    """

    def __init__(self) -> None:
        super().__init__("SampleData")
        self.sources: dict[str, list[Any]] = {}
        self.answer: dict[str, list[Any]] = {}
        self.SampleDataLogic = SimpleNamespace(registerCustomSampleDataSource=self._register)

    def downloadSamples(self, sampleName: str) -> list[Any]:
        """Empty where a download failed."""
        return self.answer.get(sampleName, [])

    def downloadSample(self, sampleName: str) -> Any:
        return self.downloadSamples(sampleName)[0]

    def _register(  # noqa: PLR0913
        self,
        category: str = "Custom",
        sampleName: str | None = None,
        uris: Any = None,
        fileNames: Any = None,
        nodeNames: Any = None,
        customDownloader: Callable[[Any], Any] | None = None,
        thumbnailFileName: str | None = None,
        loadFileTypes: Any = None,
        loadFiles: Any = None,
        loadFileProperties: dict[str, Any] | None = None,
        checksums: Any = None,
        loadFileType: Any = None,
    ) -> None:
        given = (uris, fileNames, nodeNames, checksums, loadFiles, loadFileTypes)
        values = dict(zip(FIELDS, given, strict=True))
        if isinstance(uris, str):
            values = {name: [value] for name, value in values.items()}
        if len({len(value) for value in values.values()}) != 1:
            raise ValueError("All fields of sample data source must have the same length")
        names = {"sampleName": sampleName, "thumbnailFileName": thumbnailFileName}
        source = SimpleNamespace(**values, **names, customDownloader=customDownloader)
        known = [str(each) for each in self.sources.setdefault(category, [])]
        if str(source) not in known:
            self.sources[category].append(source)
