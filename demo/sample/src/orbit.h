#ifndef ORBIT_H
#define ORBIT_H

/* Seconds that one turn takes, by Kepler's third law: semi_major_axis in metres,
 * gm the gravitational parameter of the star in cubic metres per square second. */
double orbit_period(double semi_major_axis, double gm);

/* The eccentric anomaly E for which E - eccentricity * sin(E) = mean_anomaly, in radians.
 * For ellipses: 0 <= eccentricity < 1. */
double orbit_eccentric_anomaly(double mean_anomaly, double eccentricity);

/* Distance from the star, in the unit of the semi-major axis. */
double orbit_distance(double semi_major_axis, double eccentricity, double eccentric_anomaly);

#endif
