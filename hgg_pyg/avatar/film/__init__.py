"""Films of avatars: their pictures, and the files that these are written to."""

from hgg_pyg.avatar.film.background import read_background
from hgg_pyg.avatar.film.format import FilmFormat, save_film
from hgg_pyg.avatar.film.pictures import avatar_pictures, side_by_side
from hgg_pyg.avatar.film.registry import film_formats, find_film_format, register

__all__ = [
    "FilmFormat",
    "avatar_pictures",
    "film_formats",
    "find_film_format",
    "read_background",
    "register",
    "save_film",
    "side_by_side",
]
