"""Other filters on the task of `twin_speed`, each in the fastest way that its interface offers."""

import numpy as np

from benchmarks.filter_task import READINGS, STATES, Run, Task
from digital_twin.domain.units import Array
from digital_twin.macro_twin.textbook import textbook_predict, textbook_update


def numpy_textbook(task: Task) -> Run:
    """In Joseph's form, one community after the other."""

    def run() -> Array:
        ends = []
        for readings, seen in zip(task.readings, task.seen, strict=True):
            mean, covariance = np.zeros(STATES), np.eye(STATES)
            for shown, is_there in zip(readings, seen, strict=True):
                mean, covariance = textbook_predict(mean, covariance, task.matrix, task.shocks)
                if is_there.all():
                    mean, covariance = textbook_update(mean, covariance, task.design, shown, task.errors)
                elif is_there.any():
                    rows, errors = task.design[is_there], np.diag(task.error[is_there])
                    mean, covariance = textbook_update(mean, covariance, rows, shown[is_there], errors)
            ends.append(mean)
        return np.array(ends)

    return run


def numpy_many(task: Task) -> Run:
    """The same for all communities at once; what is missing tells nothing."""
    identity = np.eye(STATES)
    designs, shown = task.design * task.seen[..., None], np.where(task.seen, task.readings, 0.0)

    def run() -> Array:
        mean, covariance = np.zeros((task.communities, STATES, 1)), np.tile(identity, (task.communities, 1, 1))
        for step in range(task.steps):
            mean, covariance = task.matrix @ mean, task.matrix @ covariance @ task.matrix.T + task.shocks
            design = designs[:, step]
            product = design @ covariance
            gain = np.linalg.solve(product @ design.swapaxes(1, 2) + task.errors, product).swapaxes(1, 2)
            mean = mean + gain @ (shown[:, step, :, None] - design @ mean)
            kept = identity - gain @ design
            covariance = kept @ covariance @ kept.swapaxes(1, 2) + gain @ task.errors @ gain.swapaxes(1, 2)
        return mean[..., 0]

    return run


def filterpy(task: Task) -> Run:
    from filterpy.kalman import KalmanFilter

    def run() -> Array:
        peer = KalmanFilter(dim_x=STATES, dim_z=READINGS)
        peer.x, peer.P = np.zeros((STATES, 1)), np.eye(STATES)
        peer.F, peer.Q, peer.H, peer.R = task.matrix, task.shocks, task.design, task.errors
        for readings in task.readings[0]:
            peer.predict()
            peer.update(readings[:, None])
        return peer.x.T

    return run


def statsmodels(task: Task) -> Run:
    """Its compiled filter, told not to take the covariance for settled, and to keep the filtered states alone."""
    from statsmodels.tsa.statespace.kalman_filter import (
        MEMORY_NO_FORECAST,
        MEMORY_NO_GAIN,
        MEMORY_NO_LIKELIHOOD,
        MEMORY_NO_PREDICTED,
        MEMORY_NO_SMOOTHING,
        MEMORY_NO_STD_FORECAST,
        KalmanFilter,
    )

    def run() -> Array:
        peer = KalmanFilter(k_endog=READINGS, k_states=STATES)
        peer.bind(np.asfortranarray(task.readings[0].T))
        peer["design"], peer["obs_cov"] = task.design, task.errors
        peer["transition"], peer["selection"], peer["state_cov"] = task.matrix, np.eye(STATES), task.shocks
        peer.initialize_known(*task.start_of_others)
        peer.tolerance = 0
        peer.set_conserve_memory(
            MEMORY_NO_FORECAST
            | MEMORY_NO_PREDICTED
            | MEMORY_NO_LIKELIHOOD
            | MEMORY_NO_GAIN
            | MEMORY_NO_SMOOTHING
            | MEMORY_NO_STD_FORECAST
        )
        return peer.filter().filtered_state[:, -1:].T

    return run


def simdkalman(task: Task) -> Run:
    """All communities in numpy's vectors, each with its own covariance."""
    from simdkalman import KalmanFilter

    peer = KalmanFilter(task.matrix, task.shocks, task.design, task.errors)
    mean, covariance = task.start_of_others

    def run() -> Array:
        found = peer.compute(
            task.readings,
            0,
            initial_value=mean,
            initial_covariance=covariance,
            filtered=True,
            smoothed=False,
            observations=False,
            covariances=False,
        )
        return found.filtered.states.mean[:, -1]

    return run


def dynamax(task: Task) -> Run:
    """Compiled by XLA, in float64."""
    return _dynamax(task, many=False)


def dynamax_many(task: Task) -> Run:
    """The same for all communities at once; what is missing tells nothing."""
    return _dynamax(task, many=True)


def _dynamax(task: Task, *, many: bool) -> Run:
    import jax
    from dynamax.linear_gaussian_ssm.inference import lgssm_filter, make_lgssm_params

    jax.config.update("jax_enable_x64", True)
    start, cover = task.start_of_others

    def last_mean(design: Array, shown: Array) -> Array:
        parameters = make_lgssm_params(start, cover, task.matrix, task.shocks, design, task.errors)
        return lgssm_filter(parameters, shown).filtered_means[-1]

    if many:
        compiled = jax.jit(jax.vmap(last_mean))
        designs, shown = task.design * task.seen[..., None], np.where(task.seen, task.readings, 0.0)
        return lambda: np.asarray(compiled(designs, shown))
    alone = jax.jit(last_mean)
    return lambda: np.asarray(alone(task.design, task.readings[0]))[None]
