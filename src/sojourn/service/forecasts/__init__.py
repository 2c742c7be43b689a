"""When jobs start: forecasts of the devices, made when somebody asks and away from the event loop."""
