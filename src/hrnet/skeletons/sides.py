"""Left and right by keypoints' names."""

import re
from collections import defaultdict
from collections.abc import Sequence

# Words, wherever they stand in a name, and what they become on the other side: English, Chinese,
# French, German, Spanish.
_WORDS = (
    ("left", "right"),
    ("Left", "Right"),
    ("LEFT", "RIGHT"),
    ("左", "右"),
    ("gauche", "droite"),
    ("Gauche", "Droite"),
    ("gauche", "droit"),
    ("Gauche", "Droit"),
    ("links", "rechts"),
    ("Links", "Rechts"),
    ("linke", "rechte"),  # linkes, linker, linken
    ("Linke", "Rechte"),
    ("izquierd", "derech"),  # izquierda, izquierdo
    ("Izquierd", "Derech"),
)
# Short ones, only where no third name has other letters in their place: those are an alphabet's.
_PART, _END = r"(?<![^\W\d_])", r"(?![^\W\d_])"
_SHORT = (
    (rf"{_PART}l{_END}", "r"),
    (rf"{_PART}L{_END}", "R"),
    (r"(?<![^\W\d_])L(?=[A-Z])", "R"),  # LKnee
    (r"(?<![^\W\d_])L(?=[a-z]{2})", "R"),  # Lknee
    (r"(?<![^\W\d_])l(?=[A-Z])", "r"),  # lKnee
    (rf"(?<=[a-z])L{_END}", "R"),  # kneeL
    (rf"(?<={_PART}[FHBR])L{_END}", "R"),  # FL_paw: front, hind, back, rear
    (rf"(?<={_PART}[fhbr])l{_END}", "r"),
    (rf"{_PART}g{_END}", "d"),
    (rf"{_PART}G{_END}", "D"),
    (rf"{_PART}li{_END}", "re"),
    (rf"{_PART}Li{_END}", "Re"),
    (rf"{_PART}izq{_END}", "der"),
)
# Marks that tell names apart and do not change when the picture is mirrored.
_UPRIGHT = re.compile(
    r"top|bottom|upper|lower|up|down|front|back|fore|hind|rear|start|end|base|tip|head|tail|"
    r"inner|outer|near|far|proximal|distal|medial|lateral|nose|neck|center|centre|middle|mid",
    re.IGNORECASE,
)
_MARK = re.compile(r"[^\W\d_]+|\d+")  # words and numbers that names are made of


def pairs_by_name(keypoints: Sequence[str]) -> list[tuple[str, str]]:
    """(left, right) keypoints that differ in nothing but a word or letter for the side: left_knee
    and right_knee, l_knee and r_knee, LeftKnee, kneeL, Lknee, lKnee, FL_paw; 左膝, genou_gauche,
    Knie_links, rodilla_izquierda and their others."""
    known = set(keypoints)
    right_of: dict[str, str] = {}

    def pair(left: str, right: str) -> None:
        paired = {*right_of, *right_of.values()}
        if right != left and right in known and not {left, right} & paired:
            right_of[left] = right

    for left in keypoints:
        for word, other in _WORDS:
            for match in re.finditer(word, left):
                pair(left, left[: match.start()] + other + left[match.end() :])
    for pattern, other in _SHORT:
        for left in keypoints:
            for match in re.finditer(pattern, left):
                before, after = left[: match.start()], left[match.end() :]
                letters = rf"[^\W\d_]{{{len(other)}}}"
                like = re.compile(re.escape(before) + letters + re.escape(after))
                if sum(like.fullmatch(name) is not None for name in known) == 2:
                    pair(left, before + other + after)
    return list(right_of.items())


def unclear_pairs(
    keypoints: Sequence[str], pairs: Sequence[tuple[str, str]]
) -> list[tuple[str, str]]:
    """Two keypoints that differ in one mark and are no pair by name: `first` and `second`, `ear_1`
    and `ear_2`. Whether one takes the other's place in a mirrored picture is to be asked. Three and
    more that differ in one place are the points of a row or contour, and names of one word tell
    something only where there are no pairs at all."""
    paired = {name for pair in pairs for name in pair}
    alike: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for name in keypoints:
        for match in () if name in paired else _MARK.finditer(name):
            alike[name[: match.start()], name[match.end() :]].append(name)
    found = []
    for (before, after), names in alike.items():
        if len(names) != 2 or (pairs and not before + after):
            continue
        marks = [name[len(before) : len(name) - len(after)] for name in names]
        if not any(_UPRIGHT.fullmatch(mark) for mark in marks):
            found.append((names[0], names[1]))
    return list(dict.fromkeys(found))
