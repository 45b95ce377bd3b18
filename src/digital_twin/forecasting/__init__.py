"""What will happen: probabilistic forecasts that never look ahead.

The types import numpy alone; pvlib and holidays are imported by the models that need them, when they run.
"""

from digital_twin.forecasting.forecast import Forecast, ForecastTask, History, Prediction, Site

__all__ = ["Forecast", "ForecastTask", "History", "Prediction", "Site"]
