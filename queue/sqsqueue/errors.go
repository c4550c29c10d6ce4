package sqsqueue

import (
	"errors"
	"fmt"
	"strings"

	"github.com/aws/smithy-go"
)

// This file says what errors of AWS mean.

// Kinds of errors, by what a person must do.
const (
	other = iota
	missing
	denied
	expired
	throttled
	locked
)

func kind(code string) int {
	switch code {
	case "QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue", "InvalidAddress":
		return missing
	case "AccessDenied", "AccessDeniedException", "AuthorizationError":
		return denied
	case "ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException", "InvalidSecurity", "SignatureDoesNotMatch", "IncompleteSignature", "MissingAuthenticationToken", "MissingAuthenticationTokenException", "InvalidAccessKeyId":
		return expired
	case "ThrottlingException", "Throttling", "RequestThrottled", "OverLimit", "TooManyRequestsException", "KmsThrottled", "KMS.ThrottlingException":
		return throttled
	case "KmsAccessDenied", "KmsDisabled", "KmsNotFound", "KmsInvalidState", "KmsInvalidKeyUsage", "KmsOptInRequired", "KMS.AccessDeniedException", "KMS.DisabledException", "KMS.NotFoundException":
		return locked
	}
	return other
}

// explain says what an error of AWS means, and what to do.
func (e *Engine) explain(action string, err error) error {
	advice := "is SQS reachable from here, in the client's region?"
	var api smithy.APIError
	if errors.As(err, &api) {
		switch kind(api.ErrorCode()) {
		case missing:
			advice = "there is no such queue: compare the URL, the account and the client's region, or create it (docs/sqs.md)"
		case denied:
			advice = "allow sqs:" + strings.TrimSuffix(action, "Batch") + " on the queue to this role (docs/sqs.md has the policies)"
		case expired:
			advice = "AWS does not take the credentials: renew them, or give the client a provider that does"
		case throttled:
			advice = "SQS throttles: send in larger batches, or make it a high-throughput FIFO queue (docs/sqs.md)"
		case locked:
			advice = "the queue's KMS key cannot be used: allow kms:Decrypt and kms:GenerateDataKey to this role, or use SSE-SQS"
		default:
			advice = "see the code in the API reference of SQS"
		}
	}
	return fmt.Errorf("sqsqueue: %s on queue %s: %s: %w", action, e.name, advice, err)
}
