"""The repositories of the old layer, by their names and those of their methods and arguments."""

from .gallery import GalleryMementosRepository, GalleryMigrationRepository
from .guilds import ReportRepository, ServerSettingsRepository
from .links import CreatorLinkRepository, LinkRepository

__all__ = ["CreatorLinkRepository", "GalleryMementosRepository", "GalleryMigrationRepository",
           "LinkRepository", "ReportRepository", "ServerSettingsRepository"]
