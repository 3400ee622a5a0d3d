"""The same labelled pictures of kites as each labelling tool exports them.

    python scripts/make_exports.py FOLDER [COUNT]

writes FOLDER/TOOL for all that `hrnet data prepare` reads, and FOLDER/kites.json, what was drawn,
in COCO's format. The forms are those of the tools' own exports: CVAT 1.1 (images and video), Label
Studio's JSON, LabelMe 5, VGG Image Annotator 2 (project and CSV), RectLabel's COCO file of points
(its issue 162), Supervisely's projects, DeepLabCut's demo data sets (CSV and HDF5, one animal and
several), SLEAP (by sleap-io), YOLO-pose (by `hrnet data export`).
"""

import csv
import json
import shutil
import sys
from pathlib import Path
from xml.sax.saxutils import escape

import cv2
import h5py
import numpy as np
from make_kites import LIMBS, NAMES, draw_kite

from hrnet.data.tools.yolo import export_yolo

SIZE = WIDTH, HEIGHT = 480, 240
Kite = np.ndarray  # (5, 3) x, y, v


def draw(folder: Path, count: int) -> dict[str, list[Kite]]:
    """Pictures with a kite in each half, or in one; who is in which."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    pictures: dict[str, list[Kite]] = {}
    for i in range(count):
        sky = rng.uniform(40, 140, (6, 9, 3)).astype(np.uint8)
        picture = cv2.resize(sky, SIZE, interpolation=cv2.INTER_CUBIC)
        kites = []
        for half in range(2) if i % 3 else [i // 3 % 2]:
            part = picture[:, half * WIDTH // 2 : (half + 1) * WIDTH // 2]
            points = draw_kite(rng, part)
            inside = ((points >= 0) & (points <= (WIDTH // 2 - 1, HEIGHT - 1))).all(axis=1)
            points += (half * WIDTH // 2, 0)
            kites.append(np.column_stack([points.round(2), 2 * inside]) * inside[:, None])
        cv2.imwrite(str(folder / f"frame_{i:06d}.png"), picture)
        pictures[f"frame_{i:06d}.png"] = kites
    return pictures


def boxes(kites: list[Kite]) -> list[tuple[float, float, float, float]]:
    """x, y, width and height of everybody's half of the picture."""
    halves = [int(np.median(kite[kite[:, 2] > 0, 0]) >= WIDTH // 2) for kite in kites]
    return [(half * WIDTH / 2, 0.0, WIDTH / 2, float(HEIGHT)) for half in halves]


def labelled(kite: Kite) -> list[tuple[str, float, float]]:
    return [(n, x, y) for n, (x, y, v) in zip(NAMES, kite.tolist(), strict=True) if v]


def write_json(file: Path, content: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content, indent=1))


def coco(pictures: dict[str, list[Kite]]) -> dict:
    images, annotations = [], []
    for i, (name, kites) in enumerate(pictures.items(), 1):
        images.append({"id": i, "file_name": name, "width": WIDTH, "height": HEIGHT})
        for kite, box in zip(kites, boxes(kites), strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": i,
                    "category_id": 1,
                    "iscrowd": 0,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "keypoints": kite.ravel().tolist(),
                    "num_keypoints": int((kite[:, 2] > 0).sum()),
                }
            )
    category = {"id": 1, "name": "kite", "keypoints": NAMES, "skeleton": LIMBS}
    return {"images": images, "annotations": annotations, "categories": [category]}


def cvat_meta(mode: str, count: int) -> str:
    nodes = "".join(
        f'<circle r="1.5" data-type="element node" data-element-id="{i}" data-node-id="{i}" '
        f'cx="{10 * i}" cy="10" data-label-name="{name}"></circle>'
        for i, name in enumerate(NAMES, 1)
    )
    edges = "".join(
        f'<line x1="1" y1="1" x2="2" y2="2" data-type="edge" data-node-from="{a}" '
        f'data-node-to="{b}"></line>'
        for a, b in LIMBS
    )
    labels = (
        f"<label><name>kite</name><type>skeleton</type><svg>{escape(edges + nodes)}</svg></label>"
    )
    for name in NAMES:
        labels += f"<label><name>{name}</name><type>points</type><parent>kite</parent></label>"
    size = f"<original_size><width>{WIDTH}</width><height>{HEIGHT}</height></original_size>"
    task = f"<size>{count}</size><mode>{mode}</mode><labels>{labels}</labels>"
    return f"<version>1.1</version><meta><task>{task}</task>{size}</meta>"


def cvat_skeleton(kite: Kite, of_skeleton: str = "", of_points: str = "") -> str:
    points = "".join(
        f'<points label="{name}" source="manual"{of_points} outside="{int(v == 0)}" occluded="0" '
        f'points="{x:.2f},{y:.2f}"></points>'
        for name, (x, y, v) in zip(NAMES, kite.tolist(), strict=True)
    )
    return f'<skeleton{of_skeleton} source="manual" z_order="0">{points}</skeleton>'


def cvat_images(pictures: dict[str, list[Kite]], out: Path) -> None:
    shapes = [
        f'<image id="{i}" name="{name}" width="{WIDTH}" height="{HEIGHT}">'
        + "".join(cvat_skeleton(kite, ' label="kite"') for kite in kites)
        + "</image>"
        for i, (name, kites) in enumerate(pictures.items())
    ]
    text = f"<annotations>{cvat_meta('annotation', len(pictures))}{''.join(shapes)}</annotations>"
    (out / "annotations.xml").write_text(f'<?xml version="1.0" encoding="utf-8"?>{text}')


def cvat_video(pictures: dict[str, list[Kite]], out: Path) -> None:
    """Every frame a keyframe, but for one at the end, which lies between two."""
    tracks = []
    everybody = [(i, kite) for i, kites in enumerate(pictures.values()) for kite in kites]
    for number, (frame, kite) in enumerate(everybody):
        key = f' frame="{frame}" keyframe="1"'
        between = f' frame="{frame + 1}" keyframe="0"' if number == 0 else ""
        shapes = cvat_skeleton(kite, key, ' keyframe="1"')
        if between:
            shapes += cvat_skeleton(kite, between, ' keyframe="0"')
        tracks.append(f'<track id="{number}" label="kite" source="manual">{shapes}</track>')
    meta = cvat_meta("interpolation", len(pictures))
    text = f"<annotations>{meta}{''.join(tracks)}</annotations>"
    (out / "annotations.xml").write_text(f'<?xml version="1.0" encoding="utf-8"?>{text}')


def label_studio(pictures: dict[str, list[Kite]], out: Path) -> None:
    tasks = []
    scale = np.array([100 / WIDTH, 100 / HEIGHT])
    for task, (name, kites) in enumerate(pictures.items(), 1):
        results = []
        common = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
        common |= {"to_name": "image", "origin": "manual"}
        for n, (kite, box) in enumerate(zip(kites, boxes(kites), strict=True)):
            x, y, width, height = (np.array(box) * np.tile(scale, 2)).tolist()
            value = {"x": x, "y": y, "width": width, "height": height, "rotation": 0}
            value["rectanglelabels"] = ["kite"]
            parent = {
                "id": f"box{n}",
                "type": "rectanglelabels",
                "from_name": "box",
                "value": value,
            }
            results.append({**common, **parent})
            for label, *place in labelled(kite):
                x, y = (np.array(place) * scale).tolist()
                value = {"x": x, "y": y, "width": 0.4, "keypointlabels": [label]}
                own = {"id": f"{label}{n}", "type": "keypointlabels", "from_name": "kp"}
                results.append({**common, **own, "value": value, "parentID": f"box{n}"})
        annotation = {"id": task, "completed_by": 1, "was_cancelled": False, "result": results}
        data = {"image": f"/data/upload/1/{name}"}
        tasks.append({"id": task, "annotations": [annotation], "data": data, "predictions": []})
    write_json(out / "project-1.json", tasks)


def labelme(pictures: dict[str, list[Kite]], out: Path) -> None:
    for name, kites in pictures.items():
        shapes = []
        for group, kite in enumerate(kites, 1):
            for label, x, y in labelled(kite):
                shape = {"label": label, "points": [[x, y]], "group_id": group}
                shapes.append({**shape, "description": "", "shape_type": "point", "flags": {}})
        table = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": name}
        table |= {"imageData": None, "imageHeight": HEIGHT, "imageWidth": WIDTH}
        write_json(out / Path(name).with_suffix(".json"), table)


def via_regions(kites: list[Kite]) -> list[dict]:
    regions = []
    for n, (kite, (x, y, width, height)) in enumerate(zip(kites, boxes(kites), strict=True), 1):
        shape = {"name": "rect", "x": int(x), "y": int(y), "width": int(width)}
        shape["height"] = int(height)
        regions.append({"shape_attributes": shape, "region_attributes": {"person": str(n)}})
        for label, px, py in labelled(kite):
            shape = {"name": "point", "cx": px, "cy": py}
            attributes = {"keypoint": label, "person": str(n)}
            regions.append({"shape_attributes": shape, "region_attributes": attributes})
    return regions


def via_project(pictures: dict[str, list[Kite]], out: Path) -> None:
    entries = {
        f"{name}{10_000 + i}": {
            "filename": name,
            "size": 10_000 + i,
            "regions": via_regions(kites),
            "file_attributes": {},
        }
        for i, (name, kites) in enumerate(pictures.items())
    }
    project = {"_via_settings": {"ui": {}, "core": {}}, "_via_img_metadata": entries}
    project |= {"_via_attributes": {"region": {}, "file": {}}, "_via_data_format_version": "2.0.10"}
    write_json(out / "via_project.json", {**project, "_via_image_id_list": list(entries)})


def via_csv(pictures: dict[str, list[Kite]], out: Path) -> None:
    with (out / "via_export_csv.csv").open("w", newline="") as file:
        table = csv.writer(file)
        columns = "filename file_size file_attributes region_count region_id"
        table.writerow([*columns.split(), "region_shape_attributes", "region_attributes"])
        for name, kites in pictures.items():
            regions = via_regions(kites)
            for number, region in enumerate(regions):
                texts = [
                    json.dumps(region[key]) for key in ("shape_attributes", "region_attributes")
                ]
                table.writerow([name, 10_000, "{}", len(regions), number, *texts])


def rectlabel(pictures: dict[str, list[Kite]], out: Path) -> None:
    categories = [{"supercategory": "type", "id": i, "name": n} for i, n in enumerate(NAMES, 1)]
    categories.append({"supercategory": "type", "id": 6, "name": "kite"})
    images, annotations = [], []
    for i, (name, kites) in enumerate(pictures.items(), 1):
        images.append({"id": i, "file_name": name, "width": WIDTH, "height": HEIGHT})
        for kite, box in zip(kites, boxes(kites), strict=True):
            objects = [(6, [], list(box), box[2] * box[3])]
            for label, x, y in labelled(kite):
                objects.append((NAMES.index(label) + 1, [[x, y]], [x, y, 1, 1], 0))
            for category, segmentation, bbox, area in objects:
                own = {"area": area, "iscrowd": 0, "id": len(annotations) + 1, "image_id": i}
                own |= {"category_id": category, "segmentation": segmentation, "bbox": bbox}
                annotations.append(own)
    content = {"images": images, "annotations": annotations, "categories": categories}
    write_json(out / "annotations.json", content)


def supervisely(pictures: dict[str, list[Kite]], out: Path) -> None:
    keys = {name: f"node-{i:04x}" for i, name in enumerate(NAMES)}
    nodes = {key: {"label": n, "loc": [0, 0], "color": "#FF0000"} for n, key in keys.items()}
    edges = [{"src": keys[NAMES[a - 1]], "dst": keys[NAMES[b - 1]]} for a, b in LIMBS]
    own = {"title": "kite", "shape": "graph", "color": "#8A0F6D", "geometry_config": {}}
    own["geometry_config"] = {"nodes": nodes, "edges": edges}
    write_json(out / "meta.json", {"classes": [own], "tags": [], "projectType": "images"})
    for name, kites in pictures.items():
        objects = []
        for kite in kites:
            places = {keys[label]: {"loc": [x, y]} for label, x, y in labelled(kite)}
            objects.append({"classTitle": "kite", "geometryType": "graph", "nodes": places})
        table = {"description": "", "tags": [], "size": {"height": HEIGHT, "width": WIDTH}}
        write_json(out / "ds1" / "ann" / f"{name}.json", {**table, "objects": objects})


def deeplabcut_table(
    pictures: dict[str, list[Kite]], several: bool
) -> tuple[list[tuple[str, ...]], list[tuple[str, str, str]], np.ndarray]:
    names = [f"kite{n}" for n in (1, 2)] if several else [""]
    columns = [
        ("ann", *([name] if several else []), point, axis)
        for name in names
        for point in NAMES
        for axis in "xy"
    ]
    rows = [("labeled-data", "sky", picture) for picture in pictures]
    values = np.full((len(rows), len(columns)), np.nan)
    for row, kites in zip(values, pictures.values(), strict=True):
        for n, kite in enumerate(kites[: len(names)]):
            places = np.where(kite[:, 2:] > 0, kite[:, :2], np.nan)
            row[10 * n : 10 * n + 10] = places.ravel()
    return columns, rows, values


def deeplabcut(pictures: dict[str, list[Kite]], out: Path) -> None:
    """Several animals, as CSV."""
    columns, rows, values = deeplabcut_table(pictures, several=True)
    with (out / "labeled-data" / "sky" / "CollectedData_ann.csv").open("w", newline="") as file:
        table = csv.writer(file)
        for level, name in enumerate(("scorer", "individuals", "bodyparts", "coords")):
            table.writerow([name, "", "", *(column[level] for column in columns)])
        for row, numbers in zip(rows, values.tolist(), strict=True):
            table.writerow([*row, *("" if number != number else number for number in numbers)])
    deeplabcut_config(out)


def deeplabcut_config(out: Path) -> None:
    limbs = ", ".join(f"[{NAMES[a - 1]}, {NAMES[b - 1]}]" for a, b in LIMBS)
    (out / "config.yaml").write_text(
        f"Task: kites\nmultianimalproject: true\nskeleton: [{limbs}]\n"
    )


def deeplabcut_hdf5(pictures: dict[str, list[Kite]], out: Path) -> None:
    """The same as HDF5, as pandas lays it out."""
    columns, rows, values = deeplabcut_table(pictures, several=True)
    with h5py.File(out / "labeled-data" / "sky" / "CollectedData_ann.h5", "w") as file:
        group = file.create_group("df_with_missing")
        group.attrs.update(pandas_type=np.bytes_("frame"), nblocks=1, ndim=2)
        group["block0_values"] = values
        for axis, names in (("axis0", columns), ("axis1", rows), ("block0_items", columns)):
            group.attrs[f"{axis}_variety"] = np.bytes_("multi")
            group.attrs[f"{axis}_nlevels"] = len(names[0])
            for level, texts in enumerate(zip(*names, strict=True)):
                known, which = np.unique([text.encode() for text in texts], return_inverse=True)
                group[f"{axis}_level{level}"] = known
                group[f"{axis}_label{level}"] = which.astype(np.int8)
    deeplabcut_config(out)


def sleap(pictures: dict[str, list[Kite]], out: Path) -> None:
    """A package, which holds its frames."""
    import sleap_io

    edges = [(NAMES[a - 1], NAMES[b - 1]) for a, b in LIMBS]
    pairs = [("left_wing", "right_wing")]
    skeleton = sleap_io.Skeleton(nodes=list(NAMES), edges=edges, symmetries=pairs, name="kite")
    video = sleap_io.Video.from_filename([str(out.parent / "images" / name) for name in pictures])
    frames = []
    for number, kites in enumerate(pictures.values()):
        instances = [
            sleap_io.Instance.from_numpy(
                np.where(kite[:, 2:] > 0, kite[:, :2], np.nan), skeleton=skeleton
            )
            for kite in kites
        ]
        frames.append(sleap_io.LabeledFrame(video=video, frame_idx=number, instances=instances))
    labels = sleap_io.Labels(frames)
    labels.save(str(out / "kites.pkg.slp"), embed="user", verbose=False)


def categories(pictures: dict[str, list[Kite]], out: Path) -> None:
    """Kites on the left are one category, those on the right another, of fewer points."""
    content = coco(pictures)
    second = {"id": 2, "name": "tail only", "keypoints": NAMES[3:], "skeleton": [[1, 2]]}
    content["categories"] = [*content["categories"], second]
    for annotation in content["annotations"]:
        if annotation["bbox"][0] > 0:
            annotation["category_id"] = 2
            annotation["keypoints"] = annotation["keypoints"][9:]
    write_json(out / "instances.json", content)


# By folder: who writes it, and where the pictures are below.
TOOLS = {
    "cvat": (cvat_images, "images"),
    "cvat_video": (cvat_video, "images"),
    "label_studio": (label_studio, "images"),
    "labelme": (labelme, "."),
    "via": (via_project, "."),
    "via_csv": (via_csv, "."),
    "rectlabel": (rectlabel, "images"),
    "supervisely": (supervisely, "ds1/img"),
    "deeplabcut": (deeplabcut, "labeled-data/sky"),
    "deeplabcut_hdf5": (deeplabcut_hdf5, "labeled-data/sky"),
    "sleap": (sleap, None),
    "categories": (categories, "images"),
}


def main(folder: Path, count: int) -> None:
    pictures = draw(folder / "images", count)
    write_json(folder / "kites.json", coco(pictures))
    for tool, (write, below) in TOOLS.items():
        out = folder / tool
        if below is None:
            out.mkdir()
        else:
            shutil.copytree(folder / "images", out / below)
        write(pictures, out)
    export_yolo(folder / "kites.json", folder / "yolo")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 60)
