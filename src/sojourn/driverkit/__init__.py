"""The test-kit for drivers: what a driver has to keep, one promise at a time.

`sojourn drivers check NAME` runs it in worker processes, `sojourn.driverkit.testing` in the tests of a
package that has a driver. Importing this package alone loads nothing.
"""
