#include "orbit.h"

#include <math.h>

static const double TURN = 6.283185307179586;

double orbit_period(double semi_major_axis, double gm)
{
    return TURN * sqrt(semi_major_axis * semi_major_axis * semi_major_axis / gm);
}

/* TODO: parabolas and hyperbolas, for comets that never come back */
double orbit_eccentric_anomaly(double mean_anomaly, double eccentricity)
{
    /* Within half a turn around the star's nearest point the solution lies between the
     * mean anomaly and half a turn, and the equation is monotonic there. */
    double turns = floor(mean_anomaly / TURN + 0.5);
    double m = mean_anomaly - turns * TURN;
    double low = m < 0 ? -TURN / 2 : m;
    double high = m < 0 ? m : TURN / 2;
    double e = m + copysign(0.85 * eccentricity, m);

    /* Newton's method, and a bisection whenever it would leave the bracket. */
    for (int step = 0; step < 64; step++) {
        double error = e - eccentricity * sin(e) - m;
        if (error > 0)
            high = e;
        else
            low = e;
        double next = e - error / (1 - eccentricity * cos(e));
        if (!(next > low && next < high))
            next = low + (high - low) / 2;
        if (next == e || fabs(next - e) <= 1e-16 * fabs(e))
            break;
        e = next;
    }
    return e + turns * TURN;
}

double orbit_distance(double semi_major_axis, double eccentricity, double eccentric_anomaly)
{
    return semi_major_axis * (1 - eccentricity * cos(eccentric_anomaly)); /* its smallest value is the periapsis */
}
