"""Which faces are of one person, from embeddings and from what people have said: few labels sort the rest.

Label spreading over a graph of nearest neighbours (Zhou et al., "Learning with Local and Global Consistency", 2004):
what somebody said about a few faces flows along likenesses, so that a child and the old man it became are joined
through the years between. Rejections never receive that person's label, and two faces of one photo are never the same
person.
All functions work on numbers; SFace's unit vectors come in as (N, 128).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

NEIGHBOURS = 16
BLOCK = 1024
KEPT = 0.9  # of a face's label comes from its neighbours at each round
ROUNDS = 40
# On photos SFace joins one person above 0.363, and strangers hardly ever reach 0.5; rendered faces are closer together.
LINK, MIDDLE, WIDTH = 0.4, 0.5, 0.05
USUAL, SLACK = (0.45, 0.66), 0.12
SHARPNESS = 0.08
LEAST_CONFIDENCE = 0.5
NOBODY = -1


@dataclass(frozen=True)
class Sorted:
    """For each face the person (an index, or NOBODY) and how sure that is, 0 to 1."""

    person: np.ndarray
    confidence: np.ndarray


def nearest(vectors: np.ndarray, count: int = NEIGHBOURS) -> tuple[np.ndarray, np.ndarray]:
    """The nearest other faces (N, K) of each and their cosines (N, K), best first; in blocks, so memory stays small."""
    total = len(vectors)
    count = min(count, total - 1)
    places, cosines = np.zeros((total, count), np.int64), np.zeros((total, count), np.float32)
    for start in range(0, total, BLOCK):
        scores = vectors[start : start + BLOCK] @ vectors.T
        rows = np.arange(len(scores))
        scores[rows, start + rows] = -2
        best = np.argpartition(-scores, count - 1, axis=1)[:, :count] if count else np.zeros((len(scores), 0), int)
        values = np.take_along_axis(scores, best, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        places[start : start + BLOCK] = np.take_along_axis(best, order, axis=1)
        cosines[start : start + BLOCK] = np.take_along_axis(values, order, axis=1)
    return places, cosines


def graph(vectors: np.ndarray, photos: np.ndarray) -> sparse.csr_matrix:
    """Likenesses (N, N), symmetric and normalised; none between two faces of one photo (photos: (N,) ids)."""
    places, cosines = nearest(vectors)
    rows = np.repeat(np.arange(len(vectors)), places.shape[1])
    columns, values = places.ravel(), cosines.ravel()
    use = (values > LINK) & (photos[rows] != photos[columns])
    weights = np.exp((values[use] - 1) / SHARPNESS)
    one_way = sparse.csr_matrix((weights, (rows[use], columns[use])), shape=(len(vectors),) * 2)
    both = one_way.maximum(one_way.T)
    scale = 1 / np.sqrt(np.maximum(np.asarray(both.sum(axis=1)).ravel(), 1e-12))
    return sparse.csr_matrix(sparse.diags(scale) @ both @ sparse.diags(scale))


def sort_faces(
    vectors: np.ndarray, photos: np.ndarray, labels: np.ndarray, rejected: np.ndarray, people: int
) -> Sorted:
    """Give every face to a person or to nobody.

    vectors (N, 128) unit; photos (N,) ids; labels (N,) what was said: an index of a person, or NOBODY; rejected
    (N, people) what was said not to be.
    """
    if people == 0 or len(vectors) == 0:
        return Sorted(np.full(len(vectors), NOBODY), np.zeros(len(vectors)))
    said = np.zeros((len(vectors), people))
    said[np.flatnonzero(labels >= 0), labels[labels >= 0]] = 1.0
    flow, start = graph(vectors, photos), said.copy()
    for _ in range(ROUNDS):
        said = KEPT * (flow @ said) + (1 - KEPT) * start
        said[rejected] = 0.0
    shares = said / np.maximum(said.sum(axis=1, keepdims=True), 1e-12)
    person = said.argmax(axis=1)
    near = likeness(vectors, person, labels, shares, people)
    confidence = shares.max(axis=1) * near
    person[(said.max(axis=1) <= 0) | (confidence < LEAST_CONFIDENCE)] = NOBODY
    person, confidence = _one_a_photo(person, confidence, photos, labels)
    sure = labels >= 0
    person[sure], confidence[sure] = labels[sure], 1.0
    confidence[person == NOBODY] = 0.0
    return Sorted(person, confidence)


def likeness(
    vectors: np.ndarray, person: np.ndarray, labels: np.ndarray, shares: np.ndarray, people: int
) -> np.ndarray:
    """How well each face fits those that it would join, 0 to 1: half at a cosine of MIDDLE."""
    fit = np.zeros(len(vectors))
    for index in range(people):
        members = (labels == index) | ((person == index) & (shares[:, index] > 0.8))
        mine = person == index
        if members.any() and mine.any():
            fit[mine] = best_of_three(vectors[mine], vectors[members])
    return np.asarray(1 / (1 + np.exp(-(fit - MIDDLE) / WIDTH)))


def _one_a_photo(
    person: np.ndarray, confidence: np.ndarray, photos: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Of several faces in a photo that would be one person, the surest stays; what was said goes first."""
    rank = confidence + 10 * (labels == person)
    order = np.lexsort((-rank, person, photos))
    repeated = np.zeros(len(person), bool)
    one, other = order[:-1], order[1:]
    repeated[other] = (person[one] == person[other]) & (photos[one] == photos[other]) & (person[other] != NOBODY)
    person = np.where(repeated & (labels < 0), NOBODY, person)
    return person, confidence


def clusters(vectors: np.ndarray, photos: np.ndarray) -> np.ndarray:
    """Groups (N,) of faces without a name: the lowest index in each, or NOBODY for a face alone.

    Chinese whispers (Biemann, 2006): each face takes the group that most likeness around it speaks for.
    """
    if len(vectors) < 2:
        return np.full(len(vectors), NOBODY)
    weights = graph(vectors, photos)
    group = np.arange(len(vectors))
    random = np.random.default_rng(0)
    for _ in range(20):
        before = group.copy()
        for face in random.permutation(len(vectors)):
            start, end = weights.indptr[face], weights.indptr[face + 1]
            if start == end:
                continue
            around = group[weights.indices[start:end]]
            names, inverse = np.unique(around, return_inverse=True)
            group[face] = names[np.bincount(inverse, weights.data[start:end]).argmax()]
        if (group == before).all():
            break
    _, inverse, sizes = np.unique(group, return_inverse=True, return_counts=True)
    lowest = np.full(len(sizes), len(vectors))
    np.minimum.at(lowest, inverse, np.arange(len(vectors)))
    return np.where(sizes[inverse] > 1, lowest[inverse], NOBODY)


def core(vectors: np.ndarray, photos: np.ndarray) -> np.ndarray:
    """How sure each of a person's supposed faces (N,) is theirs, 0 to 1: the largest group is believed.

    The group grows by the faces that fit three of it, so that it reaches over the years; where two people are mixed,
    those of the smaller group come out low.
    """
    if len(vectors) == 0:
        return np.zeros(0)
    groups = clusters(vectors, photos)
    known = groups[groups != NOBODY]
    if len(known) == 0:
        return np.full(len(vectors), 0.5)
    names, counts = np.unique(known, return_counts=True)
    inside = groups == names[counts.argmax()]
    while True:
        fit = best_of_three(vectors, vectors[inside])
        # Many photos of one time are more alike than a few of a whole life: the group itself says how much is usual.
        usual = float(np.clip(np.quantile(fit[inside], 0.1) - SLACK, *USUAL))
        grown = inside | (fit > usual)
        if (grown == inside).all():
            break
        inside = grown
    confidence = 1 / (1 + np.exp(-(fit - usual) / WIDTH))
    return np.where(inside, np.maximum(confidence, 0.8), np.minimum(confidence, 0.79))


def best_of_three(vectors: np.ndarray, members: np.ndarray) -> np.ndarray:
    """The mean cosine (N,) of each face to the three of `members` that it is most like; itself is no witness."""
    cosines = vectors @ members.T
    cosines = np.where(cosines > 0.99999, -2, cosines)
    top = np.sort(cosines, axis=1)[:, -min(3, cosines.shape[1]) :]
    return np.asarray(np.where(top > -2, top, 0).sum(axis=1) / np.maximum((top > -2).sum(axis=1), 1))
