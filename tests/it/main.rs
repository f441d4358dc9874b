//! Tests against the real thing: a kube-apiserver, an `OpenSearch`, and the program itself.
