/* Counts up with every change of the firmware that a user should flash. */
#ifndef VERSION_H
#define VERSION_H

#define FIRMWARE_VERSION 1

#endif
