//! What the containers of one pod share: volumes now, the network next.
