"""pycocotools' evaluation of keypoints, with the OKS of all poses of a picture at once."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.cocoeval import COCOeval

from hrnet.similarity import mean_similarity


class KeypointEval(COCOeval):  # type: ignore[misc]  # pycocotools has no types
    """COCOeval whose OKS has no loop over people; its annotations hold arrays of keypoints."""

    def computeOks(self, imgId: Any, catId: int) -> Any:  # noqa: N802, N803
        """(D, G) OKS of the poses found, best first, with the people of a picture."""
        people, found = self._gts[imgId, catId], self._dts[imgId, catId]
        if not people or not found:
            return []
        order = np.argsort([-row["score"] for row in found], kind="stable")
        found = [found[i] for i in order[: self.params.maxDets[-1]]]
        points = _keypoints(found)[:, None, :, :2]
        true = _keypoints(people)
        labelled = true[..., 2] > 0
        # Somebody without labels counts as found anywhere in the box, twice enlarged.
        nobody = np.asarray(~labelled.any(axis=1))
        boxes = np.array([row["bbox"] for row in people])[:, None]
        low, high = boxes[..., :2] - boxes[..., 2:], boxes[..., :2] + 2 * boxes[..., 2:]
        target = np.where(nobody[:, None, None], np.clip(points, low, high), true[..., :2])
        return mean_similarity(
            ((points - target) ** 2).sum(axis=-1),
            np.array([row["area"] for row in people]),
            self.params.kpt_oks_sigmas,
            labelled | nobody[:, None],
        )


def _keypoints(rows: list[dict[str, Any]]) -> NDArray[np.float64]:
    return np.stack([row["keypoints"] for row in rows]).reshape(len(rows), -1, 3)
