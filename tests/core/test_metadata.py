"""What a network may see beside the image: each column of the index is an input, or refused with a reason."""

from lesionbench import schemas
from lesionbench.core import metadata


def test_each_column_of_the_tables_is_an_input_or_refused() -> None:
    columns = {name for table in ("index", "split") for name in schemas.TABLES[table].to_schema().columns}
    assert columns <= set(metadata.INPUTS) | set(metadata.REFUSED)
    assert set(metadata.INPUTS) <= columns
    assert not set(metadata.INPUTS) & set(metadata.REFUSED)


def test_what_the_owner_of_the_project_refuses_is_refused() -> None:
    assert {"dx_type", "source", "dataset", "file_size", "image_size", "images_per_lesion"} <= set(metadata.REFUSED)
