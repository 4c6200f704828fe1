//! The kubelet's decisions about one pod as a pure state machine.
