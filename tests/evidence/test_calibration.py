"""Calibration: temperature and biases are found, stay finite, and never make things worse where they were fitted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax
from scores import draw_scores, seeds
from sklearn import metrics as sk
from sklearn.linear_model import LogisticRegression

from lesionbench.evidence import calibration

SHARES = np.array([327, 514, 1099, 115, 1113, 6705, 142]) / 10015  # of HAM10000's images


def draw_labels(p: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One label an image, drawn from its probabilities."""
    return (np.log(p) + rng.gumbel(size=p.shape)).argmax(axis=1)


def even_network(n: int, seed: int, scale: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Logits of a network that takes HAM10000's classes for even and is too sure by `scale`, and labels."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(7).repeat(3), rng.choice(7, n - 21, p=SHARES)])
    seen = 1.9 * np.eye(7)[labels] + rng.normal(size=(n, 7))
    return scale * 1.9 * seen, labels  # by Bayes 1.9 * seen, without the log of the shares


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5, 8.0])
@pytest.mark.parametrize("classes", [2, 7])
def test_temperature_and_biases_are_found(temperature: float, classes: int) -> None:
    """Logits that were made of true ones by a temperature and biases give both back."""
    rng = np.random.default_rng(0)
    biases = rng.normal(0, 1, classes)
    biases -= biases.mean()
    true = rng.normal(0, 2, (20_000, classes))
    found, shifts = calibration.fit(temperature * (true - biases), draw_labels(softmax(true, axis=1), rng))
    assert found == pytest.approx(temperature, rel=0.05)
    assert shifts == pytest.approx(biases, abs=0.12)


@pytest.mark.parametrize("seed", range(5))
def test_a_shifted_prior_is_moved_back(seed: int) -> None:
    """After calibration on 1,500 images, 20,000 others have slope 1, intercept 0 and their own prevalence."""
    temperature, biases = calibration.fit(*even_network(1500, seed))
    logits, labels = even_network(20_000, 100 + seed)
    p = calibration.probabilities(logits, temperature, biases)
    raw = calibration.probabilities(logits, temperature, np.zeros(7))
    melanoma = labels == 4
    assert p.mean(axis=0) == pytest.approx(SHARES, abs=0.02)
    assert raw[:, 5].mean() < SHARES[5] - 0.1  # what a temperature alone leaves
    x = np.log(p[:, 4] / (1 - p[:, 4]))[:, None]
    fitted = LogisticRegression(C=np.inf).fit(x, melanoma)
    assert fitted.coef_[0, 0] == pytest.approx(1, abs=0.15)
    assert p[:, 4].mean() == pytest.approx(melanoma.mean(), rel=0.2)
    assert sk.log_loss(labels, p) < sk.log_loss(labels, raw) - 0.05


def hard_melanoma(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are right of all classes but melanoma, whose log-odds against the rest are twice what they should be,
    and 1 too high; and labels."""
    rng = np.random.default_rng(seed)
    true = rng.normal(0, 2, (n, 7)) + np.log(SHARES)
    labels = draw_labels(softmax(true, axis=1), rng)
    rest = np.log(np.delete(np.exp(true), 4, axis=1).sum(axis=1))
    true[:, 4] = rest + 2 * (true[:, 4] - rest) + 1
    return true, labels


def test_the_line_of_melanoma_is_found() -> None:
    """Slope and intercept of what was done to logit p(melanoma); the other classes keep their proportions."""
    logits, labels = hard_melanoma(40_000, 0)
    found = calibration.calibrate(logits, labels, 4)
    p, plain = found.probabilities(logits), calibration.probabilities(logits, found.temperature, np.array(found.biases))
    x = np.log(p[:, 4] / (1 - p[:, 4]))[:, None]
    line = LogisticRegression(C=np.inf).fit(x, labels == 4)
    assert (line.coef_[0, 0], line.intercept_[0]) == pytest.approx((1, 0), abs=0.01)
    once = LogisticRegression(C=np.inf).fit(np.log(plain[:, 4] / (1 - plain[:, 4]))[:, None], labels == 4)
    assert (found.slope, found.intercept) == pytest.approx((once.coef_[0, 0], once.intercept_[0]), abs=0.01)
    assert once.coef_[0, 0] < 0.75  # what temperature and biases leave
    others = [np.delete(each, 4, axis=1) for each in (p, plain)]
    shares = [each / each.sum(axis=1, keepdims=True) for each in others]
    assert shares[0] == pytest.approx(shares[1])
    assert p.sum(axis=1) == pytest.approx(np.ones(len(p)))
    assert sk.roc_auc_score(labels == 4, p[:, 4]) == pytest.approx(sk.roc_auc_score(labels == 4, plain[:, 4]))


@pytest.mark.parametrize("seed", range(3))
def test_the_line_helps_on_new_images(seed: int) -> None:
    """Fitted on 1,500 images: of 20,000 others the slope of p(melanoma) is 1, and the log loss is lower."""
    found = calibration.calibrate(*hard_melanoma(1500, seed), 4)
    logits, labels = hard_melanoma(20_000, 50 + seed)
    p, plain = found.probabilities(logits), calibration.probabilities(logits, found.temperature, np.array(found.biases))
    line = LogisticRegression(C=np.inf).fit(np.log(p[:, 4] / (1 - p[:, 4]))[:, None], labels == 4)
    assert line.coef_[0, 0] == pytest.approx(1, abs=0.2)
    assert sk.log_loss(labels, p) < sk.log_loss(labels, plain) - 0.005


def test_two_classes_need_no_line() -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 3, (400, 2))
    labels = draw_labels(softmax(logits / 2, axis=1), rng)
    found = calibration.calibrate(logits, labels, 1)
    assert (found.intercept, found.slope) == (0, 1)
    assert (found.temperature, np.array(found.biases)) == (pytest.approx(2, rel=0.3), pytest.approx([0, 0], abs=0.3))


@pytest.mark.parametrize("melanomas", [0, 1, 3])
def test_few_melanomas_move_the_line_little(melanomas: int) -> None:
    """Were it fitted freely, three melanomas that lie above all others would have an endless slope."""
    rng = np.random.default_rng(5)
    labels = np.r_[np.full(melanomas, 4), np.arange(200) % 4]
    logits = 3 * np.eye(7)[labels] + rng.normal(0, 1, (len(labels), 7))
    found = calibration.calibrate(logits, labels, 4)
    assert 0.5 < found.slope < 2.5
    assert abs(found.intercept) < 1
    p = found.probabilities(np.r_[logits, [[0, 0, 0, 0, 5000, 0, 0]]])
    assert np.isfinite(p).all()
    assert p.sum(axis=1) == pytest.approx(np.ones(len(p)))


def test_on_its_own_images_mean_p_is_the_prevalence() -> None:
    """The priors on T and b move the mean probability of a class by less than an image of 1,500."""
    logits, labels = even_network(1500, 0)
    p = calibration.probabilities(logits, *calibration.fit(logits, labels))
    assert np.abs(p.sum(axis=0) - np.bincount(labels)).max() < 1


def loss_of(logits: np.ndarray, labels: np.ndarray, temperature: float, biases: float | np.ndarray) -> float:
    return float(-log_softmax(logits / temperature + biases, axis=1)[np.arange(len(labels)), labels].mean())


@given(seed=seeds, n=st.integers(10, 80), scale=st.sampled_from([0.2, 1, 5]), present=st.integers(1, 5))
def test_it_is_never_worse_than_a_temperature_alone(seed: int, n: int, scale: float, present: int) -> None:
    """On the images that it was fitted on, up to what the weak prior on log T costs."""
    p, labels, _ = draw_scores(seed, n, 5)
    labels = labels % present
    logits = np.log(p) * scale
    fitted = loss_of(logits, labels, *calibration.fit(logits, labels))
    for log_t in np.linspace(np.log(0.05), np.log(20), 40):
        assert fitted <= loss_of(logits, labels, np.exp(log_t), 0) + log_t**2 / 2 / n + 1e-6


def test_a_class_with_three_images_gets_no_wild_bias() -> None:
    """Three images of 400 teach a little, and new images of that class keep a probability that fits its share."""
    rng = np.random.default_rng(3)
    labels = np.r_[np.zeros(3, int), rng.integers(1, 7, 397)]
    logits = 3 * np.eye(7)[labels] + rng.normal(0, 1.5, (400, 7))
    temperature, biases = calibration.fit(logits, labels)
    assert np.abs(biases).max() < 5
    assert 0.3 < temperature < 3
    assert calibration.probabilities(logits, temperature, biases)[:, 0].sum() == pytest.approx(3, abs=1)


def test_a_class_without_an_image_becomes_rare() -> None:
    """Of a class that val lacks, less than an image is expected there, and its bias is finite."""
    rng = np.random.default_rng(4)
    labels = rng.integers(1, 7, 400)
    logits = 3 * np.eye(7)[labels] + rng.normal(0, 1.5, (400, 7))
    temperature, biases = calibration.fit(logits, labels)
    assert -8 < biases[0] < -1
    assert calibration.probabilities(logits, temperature, biases)[:, 0].sum() < 1


@pytest.mark.parametrize("scale", [0.01, 1, 1000])
def test_perfect_separation_does_not_explode(scale: float) -> None:
    """Where no image is mistaken, the likelihood has no maximum; the priors give one."""
    labels = np.arange(70) % 7
    logits = scale * np.eye(7)[labels]
    temperature, biases = calibration.fit(logits, labels)
    assert 0.05 <= temperature <= 20
    assert biases == pytest.approx(np.zeros(7), abs=1e-3)
    assert calibration.probabilities(logits, temperature, biases).max(axis=1).min() < 1 or scale == 1000


@given(seed=seeds, n=st.integers(1, 40), exponent=st.integers(-3, 3), classes=st.sampled_from([2, 7]))
def test_any_logits_give_the_same_finite_fit(seed: int, n: int, exponent: int, classes: int) -> None:
    """T is in its range, the biases sum to 0 and lie within twice theirs, and a second fit says the same."""
    rng = np.random.default_rng(seed)
    logits, labels = rng.normal(0, 10.0**exponent, (n, classes)), rng.integers(0, classes, n)
    temperature, biases = calibration.fit(logits, labels)
    assert calibration.TEMPERATURES[0] <= temperature <= calibration.TEMPERATURES[1]
    assert biases.sum() == pytest.approx(0, abs=1e-9)
    assert np.abs(biases).max() <= 20
    again = calibration.fit(logits, labels)
    assert again[0] == temperature
    assert (again[1] == biases).all()


def test_probabilities_sum_to_one_and_keep_the_order() -> None:
    """Logits of any size give probabilities; without biases the order of the classes is that of the logits."""
    logits = np.array([[1000.0, -1000.0, 3.0], [0.1, 0.2, 0.3]], np.float32)
    p = calibration.probabilities(logits, 2.0, np.zeros(3))
    assert p.dtype == np.float64
    assert p.sum(axis=1) == pytest.approx([1, 1])
    assert p.argmax(axis=1).tolist() == [0, 2]
    assert p[1] == pytest.approx(softmax(logits[1].astype(float) / 2))
