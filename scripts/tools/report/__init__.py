"""How bench and load show figures: one table, one line chart, one bar chart."""
