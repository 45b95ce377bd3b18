"""The tariff that maximises welfare within an incentive budget, and how demand answers to prices."""
