"""Write annotation files of the people whom the packaged model's recipe sets aside.

    python scripts/write_held_out.py DATA OUT

DATA is the recipe's `data.root`. OUT gets `lsp.json`, `coco.json`, `coco_more.json` and all of them
as `all.json`, with pictures named from DATA: `hrnet evaluate --data OUT/all.json --images DATA`.
All choices are made on these people, and the probabilities of joints are fitted on them.
"""

import argparse
from pathlib import Path
from typing import Any

from hrnet.data.annotations import read_annotations, write_annotations
from hrnet.tables import read_json
from hrnet.training.recipe import RECIPES

HELD_OUT = "lsp_coco.held_out.json"
FILES = {
    "lsp": "lsp/train_coco17.json",
    "coco": "coco/train.json",
    "coco_more": "coco_more/train.json",
}


def held_out(data: Path, file: str, names: set[str], first_id: int) -> dict[str, Any]:
    """The people of a file in pictures of these names, with ids from one on."""
    content = read_annotations(data / file)
    folder = f"{Path(file).parent}/images"
    images = [image for image in content["images"] if image["file_name"] in names]
    ids = {image["id"]: first_id + number for number, image in enumerate(images)}
    people = [person for person in content["annotations"] if person["image_id"] in ids]
    return {
        "images": [
            image | {"id": ids[image["id"]], "file_name": f"{folder}/{image['file_name']}"}
            for image in images
        ],
        "annotations": [
            person | {"id": first_id + number, "image_id": ids[person["image_id"]]}
            for number, person in enumerate(people)
        ],
        "categories": content["categories"],
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    folders = read_json(Path(str(RECIPES / HELD_OUT)), "list of pictures")
    files: dict[str, dict[str, Any]] = {}
    for number, (name, file) in enumerate(FILES.items(), 1):
        names = set(folders[f"{Path(file).parent}/images"])
        files[name] = held_out(arguments.data, file, names, 100_000 * number)
    parts = list(files.values())
    files["all"] = {
        "images": [image for part in parts for image in part["images"]],
        "annotations": [person for part in parts for person in part["annotations"]],
        "categories": parts[0]["categories"],
    }
    write_annotations({arguments.out / f"{name}.json": part for name, part in files.items()})
    for name, part in files.items():
        print(f"{name}.json: {len(part['annotations'])} people, {len(part['images'])} pictures")


if __name__ == "__main__":
    main()
