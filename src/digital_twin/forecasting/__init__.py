"""What will happen: probabilistic forecasts that never look ahead.

The types import numpy alone; what else a model needs it imports when it runs.
"""

from digital_twin.forecasting.forecast import Forecast, ForecastTask, History, Prediction, Site

__all__ = ["Forecast", "ForecastTask", "History", "Prediction", "Site"]
